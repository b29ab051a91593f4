"""Checkpoint files: reading, writing, conversion and quantization."""
