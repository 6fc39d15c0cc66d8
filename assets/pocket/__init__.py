"""The embedded demonstration model: its rules, its texts, its training."""
