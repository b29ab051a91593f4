"""Sampling under ComfyUI: joint latents, guidance, previews, the step cache."""
