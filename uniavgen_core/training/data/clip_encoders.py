"""Encoders of pictures and captions for training: the bundled model's, or Wan2.2's from a folder on disk.

Source: Wan2.2's VAE (48 channels, 4x16x16, causal) with its config's mean and deviation; umT5-xxl. Captions are cleaned
and cut as the release does.
Dimension key: F video frames, T latent frames, H and W latent rows and columns, L caption tokens, D caption width.
"""

from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from ...bundled.bundled_files import load_codec
from ...bundled.hashed_captions import hashed_features
from ...config import TOON
from ...shapes import LATENT_CHANNELS, SPATIAL_FACTOR
from ...text.caption_cleaning import clean_caption, require_ftfy

BUNDLED = "bundled"
MOST_TOKENS = 512
_PARTS = {"vae": "the video codec", "text_encoder": "umT5", "tokenizer": "umT5's tokenizer"}


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


class WanEncoders:
    """Wan2.2's video codec in float32, and umT5 in the precision it is stored in."""

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        """Load the video VAE and the text encoder.

        Args:
            folder: Has ``vae``, ``text_encoder`` and ``tokenizer``, as ``save_pretrained`` writes them.
            device: Where they run.

        Raises:
            ImportError: If ``diffusers``, ``transformers`` or ``ftfy`` is not installed.
            ValueError: If a part is missing, or the codec is not Wan2.2's.
        """
        for part, what in _PARTS.items():
            if not (folder / part).is_dir():
                raise ValueError(
                    f"{folder} has no folder {part} with {what}. Give 'bundled', or a folder with vae, text_encoder "
                    "and tokenizer, such as a copy of Wan2.2-TI2V-5B-Diffusers."
                )
        require_ftfy()
        kinds = _kinds()
        self.device = device
        self.vae = _loaded(kinds[0], folder / "vae", torch_dtype=torch.float32).eval().to(device)
        self.text_encoder = _loaded(kinds[1], folder / "text_encoder", dtype="auto").eval().to(device)
        self.tokenizer = _loaded(kinds[2], folder / "tokenizer")
        config = self.vae.config
        if config.z_dim != LATENT_CHANNELS or config.scale_factor_spatial != SPATIAL_FACTOR:
            raise ValueError(
                f"The codec in {folder / 'vae'} has {config.z_dim} channels at 1/{config.scale_factor_spatial} of the "
                f"size; Wan2.2-TI2V-5B's has {LATENT_CHANNELS} at 1/{SPATIAL_FACTOR}. Give that one."
            )
        shape = (-1, 1, 1, 1)
        self.mean = torch.tensor(config.latents_mean).view(shape)
        self.std = torch.tensor(config.latents_std).view(shape)
        self.name = f"wan-{_fingerprint(folder)}"

    @torch.no_grad()
    def video(self, frames: Tensor) -> Tensor:
        """Encode a clip, (1, 3, F, 16 H, 16 W) to (48, T, H, W): the distribution's mode, normalised."""
        raw = self.vae.encode(frames.to(self.device)).latent_dist.mode()[0].float().cpu()
        return (raw - self.mean) / self.std

    @torch.no_grad()
    def caption(self, text: str) -> Tensor:
        """Encode a caption, (L, D): at most 512 tokens, the last one the end of the text."""
        tokens = self.tokenizer(
            clean_caption(text), max_length=MOST_TOKENS, truncation=True, add_special_tokens=True, return_tensors="pt"
        ).to(self.device)
        return self.text_encoder(tokens.input_ids, tokens.attention_mask).last_hidden_state[0].float().cpu()


def _kinds() -> tuple[Any, Any, Any]:
    """The classes of codec, text encoder and tokenizer."""
    try:
        from diffusers import AutoencoderKLWan  # pyright: ignore[reportPrivateImportUsage] - loaded lazily there
        from transformers import AutoTokenizer, UMT5EncoderModel
    except ImportError as error:
        raise ImportError(
            "Wan2.2's encoders need two packages: python -m pip install diffusers transformers"
        ) from error
    return AutoencoderKLWan, UMT5EncoderModel, AutoTokenizer


def _loaded(kind: Any, folder: Path, **options: Any) -> Any:
    """Load one part from disk alone."""
    try:
        return kind.from_pretrained(folder, local_files_only=True, **options)
    except (OSError, ValueError) as error:
        raise ValueError(f"{folder} cannot be loaded: {error}. Copy the folder again.") from error


def _fingerprint(folder: Path) -> str:
    """Differs where the configs or the sizes of the weights' files differ."""
    digest = sha256()
    for part in ("vae", "text_encoder"):
        for file in sorted((folder / part).iterdir()):
            content = file.read_bytes() if file.name == "config.json" else str(file.stat().st_size).encode()
            digest.update(file.name.encode() + content)
    return digest.hexdigest()[:12]


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
    return WanEncoders(Path(name), device)
