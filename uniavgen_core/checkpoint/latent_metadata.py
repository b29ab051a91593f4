"""Metadata entry by which a file of joint latents is known, for the nodes that save and load it and for scripts."""

LATENT_KEY = "uniavgen_latent"
"""Name of the entry: JSON with the version of the format, the pack that wrote it, and plain values of the LATENT."""
LATENT_FORMAT = 1
"""Version of the format."""
