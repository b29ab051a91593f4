"""Sampling in ComfyUI: joint latents, guidance, previews, and the step cache."""
