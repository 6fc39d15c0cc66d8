"""Local language models: GGUF files, batched scoring and writing, and a scripted stand-in."""
