"""Tiny autoencoders of Wan2.2's latents, for drafts and previews: files in ComfyUI's folder vae_approx.

Dimension key: B batch, T video latents, H and W pixel rows and columns.
"""

from pathlib import PurePath
from typing import Any

import comfy.latent_formats

from ..model_folders import names_in
from .vaes import NormalizedVideoVAE

TINY_FOLDER = "vae_approx"
RAW_NAME, NORMALIZED_NAME = "lighttaew2_2", "taew2_2"
"""Beginnings of the names of files for raw latents, as Wan2.2's VAE has them, and for normalised ones. Source:
LightX2V's configurations, which scale latents for the former alone."""


class TinyVideoVAE(NormalizedVideoVAE):
    """ComfyUI's tiny autoencoder of raw latents, for normalised ones, (B, 48, T, H/16, W/16).

    Takes the arguments of ComfyUI's VAE.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.process_output = lambda image: image.clamp_(0.0, 1.0)  # ComfyUI leaves values outside of the range


class NormalizedTinyVideoVAE(TinyVideoVAE):
    """One of normalised latents, which has no statistics to apply."""

    statistics = comfy.latent_formats.LatentFormat()


def tiny_names() -> list[str]:
    """Names of the files in vae_approx."""
    return [name for name in names_in(TINY_FOLDER) if is_tiny(name)]


def is_tiny(name: str) -> bool:
    """True if a file name is one of a tiny autoencoder of Wan2.2's latents."""
    return PurePath(name).name.startswith((RAW_NAME, NORMALIZED_NAME))


def tiny_kind(name: str) -> type[TinyVideoVAE]:
    """Class of the VAE in a file of this name."""
    return TinyVideoVAE if PurePath(name).name.startswith(RAW_NAME) else NormalizedTinyVideoVAE
