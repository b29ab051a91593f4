"""Encoders of pictures and captions for training: the bundled model's, or Wan2.2's.

Dimension key: F video frames, T latent frames, H and W latent rows and columns, L caption tokens, D caption width.
"""

from functools import lru_cache
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from ...bundled.bundled_files import load_codec
from ...bundled.hashed_captions import hashed_features
from ...config import TOON

BUNDLED = "bundled"


class Encoders(Protocol):
    """Encodes pictures and captions.

    Attributes:
        name: Which encoders these are, the same for the same weights; encoded clips of two kinds do not mix.
    """

    name: str

    def video(self, frames: Tensor) -> Tensor:
        """Encode a clip.

        Args:
            frames: RGB in [-1, 1], (1, 3, F, 16 H, 16 W), on the CPU.

        Returns:
            Normalised latents, (48, T, H, W) float32 on the CPU; latent 0 depends on frame 0 alone.
        """
        ...

    def caption(self, text: str) -> Tensor:
        """Encode a caption.

        Args:
            text: The caption; empty for the null caption.

        Returns:
            Features of its tokens without the zeros after them, (L, D) float32 on the CPU, L at least 1.
        """
        ...


class BundledEncoders:
    """The bundled model's: a small codec trained on toons, and a fixed vector for each word."""

    name = BUNDLED

    def __init__(self) -> None:
        self.codec = load_codec()

    @torch.no_grad()
    def video(self, frames: Tensor) -> Tensor:
        """Encode a clip, (1, 3, F, 16 H, 16 W) to (48, T, H, W)."""
        return self.codec.encode(frames)[0]

    def caption(self, text: str) -> Tensor:
        """Encode a caption, (L, 64)."""
        return hashed_features(text, TOON.text.caption_dim, TOON.text.caption_length)


@lru_cache(maxsize=1)
def open_encoders(name: str, device: str = "cpu") -> Encoders:
    """Load encoders; a process keeps those it loaded last.

    Args:
        name: ``bundled``, or a folder in the layout of Wan2.2-TI2V-5B-Diffusers with ``vae``, ``text_encoder`` and
            ``tokenizer``.
        device: Where Wan2.2's run; the bundled ones are small and stay on the CPU.

    Raises:
        ImportError: If a package that reads the folder is not installed.
        ValueError: If the folder is not there or lacks a part; says which.
    """
    if name == BUNDLED:
        return BundledEncoders()
    from .wan_encoders import WanEncoders

    return WanEncoders(Path(name), device)
