"""Tiny autoencoders of Wan2.2's latents, for drafts: files in ComfyUI's folder vae_approx.

Dimension key: B batch, F video frames, T video latents, H and W pixel rows and columns.
"""

from pathlib import PurePath

import comfy.latent_formats
from torch import Tensor

from ..model_folders import names_in
from .vaes import NormalizedVideoVAE

TINY_FOLDER = "vae_approx"
RAW_NAME, NORMALIZED_NAME = "lighttaew2_2", "taew2_2"
"""Beginning of the names of files for raw latents, as Wan2.2's VAE has them, and of those for normalised ones."""


class NormalizedAlready(comfy.latent_formats.LatentFormat):
    """Statistics of latents that are normalised in the file's own form: none."""


class TinyVideoVAE(NormalizedVideoVAE):
    """ComfyUI's tiny autoencoder, for normalised latents (B, 48, T, H/16, W/16), as the joint model has them."""

    def __init__(self, tensors: dict[str, Tensor], is_raw: bool) -> None:
        super().__init__(sd=tensors)
        if not is_raw:
            self.statistics = NormalizedAlready()
        self.process_output = lambda image: image.clamp_(0.0, 1.0)  # ComfyUI leaves values outside of the range


def tiny_names() -> list[str]:
    """Names of the files in vae_approx."""
    return [name for name in names_in(TINY_FOLDER) if is_tiny(name)]


def is_tiny(name: str) -> bool:
    """True if a file name is one of a tiny autoencoder of Wan2.2's latents."""
    return PurePath(name).name.startswith((RAW_NAME, NORMALIZED_NAME))


def takes_raw(name: str) -> bool:
    """True if the file of this name codes raw latents."""
    return PurePath(name).name.startswith(RAW_NAME)
