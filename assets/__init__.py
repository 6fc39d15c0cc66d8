"""Style, logo and the embedded language model."""
