"""The bundled model's video codec: frames to latents and back, with the geometry of Wan2.2's VAE.

48 channels, 4x16x16, causal: latent frame 0 holds video frame 0 (repeated four times, so that one network encodes both
kinds), latent frame i > 0 holds frames 4i-3 .. 4i. A latent frame depends on its own video frames only, and there is no
normalisation over space, so that coding in chunks is exact and independent of the picture's size.
Dimension key: B batch, F video frames, T latent frames, N chunks (B*T), P frames in a chunk (4).
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ..layers.backend import TORCH, Backend
from ..media.video.latent_masks import to_chunks
from ..shapes import LATENT_CHANNELS, SIZE_MULTIPLE, SPATIAL_FACTOR, TEMPORAL_FACTOR, video_frames_of

FOLD = 4
COLOURS = 3
CHUNKS_PER_PASS = 16
FINE_LAYERS = 6
"""Residual layers of the decoder at 1/4 of the picture's side, which draw edges."""
Widths = tuple[int, int, int]
"""Channels at 1/4, 1/8 and 1/16 of the picture's side."""


class Residual(nn.Module):
    """Residual block of two convolutions."""

    def __init__(self, width: int, backend: Backend) -> None:
        super().__init__()
        self.conv1 = backend.ops.Conv2d(width, width, 3, padding=1)
        self.conv2 = backend.ops.Conv2d(width, width, 3, padding=1)

    def forward(self, hidden: Tensor) -> Tensor:
        """Add the output of the convolutions to ``hidden``, (N, width, H, W)."""
        return hidden + self.conv2(F.silu(self.conv1(F.silu(hidden))))


class Encoder(nn.Module):
    """Encoder from chunks of four frames to raw latents."""

    def __init__(self, widths: Widths, backend: Backend) -> None:
        super().__init__()
        fine, middle, coarse = widths
        ops = backend.ops
        self.layers = nn.Sequential(
            ops.Conv2d(TEMPORAL_FACTOR * COLOURS * FOLD**2, fine, 3, padding=1),
            Residual(fine, backend),
            ops.Conv2d(fine, middle, 3, stride=2, padding=1),
            Residual(middle, backend),
            ops.Conv2d(middle, coarse, 3, stride=2, padding=1),
            Residual(coarse, backend),
            ops.Conv2d(coarse, LATENT_CHANNELS, 1),
        )

    def forward(self, chunks: Tensor) -> Tensor:
        """Encode chunks (N, P, 3, H, W) as raw latents (N, 48, H/16, W/16)."""
        return self.layers(rearrange(chunks, "n p c (h i) (w j) -> n (p c i j) h w", i=FOLD, j=FOLD))


class Decoder(nn.Module):
    """Decoder from normalised latents to chunks of four frames."""

    def __init__(self, widths: Widths, backend: Backend) -> None:
        super().__init__()
        fine, middle, coarse = widths
        ops = backend.ops
        self.layers = nn.Sequential(
            ops.Conv2d(LATENT_CHANNELS, coarse, 3, padding=1),
            Residual(coarse, backend),
            ops.Conv2d(coarse, 4 * middle, 3, padding=1),
            nn.PixelShuffle(2),
            Residual(middle, backend),
            ops.Conv2d(middle, 4 * fine, 3, padding=1),
            nn.PixelShuffle(2),
            *(Residual(fine, backend) for _ in range(FINE_LAYERS)),
            ops.Conv2d(fine, TEMPORAL_FACTOR * COLOURS * FOLD**2, 3, padding=1),
        )

    def forward(self, latent: Tensor) -> Tensor:
        """Decode normalised latents (N, 48, h, w) to chunks (N, P, 3, 16 h, 16 w), not clamped."""
        return rearrange(
            self.layers(latent), "n (p c i j) h w -> n p c (h i) (w j)", p=TEMPORAL_FACTOR, c=COLOURS, i=FOLD, j=FOLD
        )


def write_frames(chunks: Tensor, frames: Tensor, first: int) -> None:
    """Undo ``to_chunks`` for consecutive chunks of one clip; the first chunk's frames are averaged.

    Args:
        chunks: Frames in groups, (N, P, 3, H, W).
        frames: All frames of the clip, (3, F, H, W), into which those of the chunks are written.
        first: Number of the first chunk.
    """
    if first == 0:
        frames[:, 0] = chunks[0].mean(0)
        chunks, first = chunks[1:], 1
    start = TEMPORAL_FACTOR * (first - 1) + 1
    places = frames[:, start : start + TEMPORAL_FACTOR * len(chunks)].unflatten(1, (len(chunks), TEMPORAL_FACTOR))
    places.copy_(chunks.permute(2, 0, 1, 3, 4))  # rearrange would copy them first


def decoded_shape(latent: Sequence[int]) -> tuple[int, ...]:
    """Shape (B, 3, F, H, W) of the frames of a latent of shape (B, 48, T, h, w)."""
    clips, _, latents, rows, columns = latent
    return clips, COLOURS, video_frames_of(latents), SPATIAL_FACTOR * rows, SPATIAL_FACTOR * columns


class VideoCodec(nn.Module):
    """Codec from frames in [-1, 1] to latents of about zero mean and unit variance per channel, and back.

    Attributes:
        chunks_per_pass: Latent frames coded in one pass. It bounds memory and does not change the result.
        latent_mean: Mean of the raw latents over the training clips, (48,).
        latent_std: Their standard deviation, (48,).
    """

    latent_mean: Tensor
    latent_std: Tensor

    def __init__(
        self, widths: Widths = (64, 96, 128), chunks_per_pass: int = CHUNKS_PER_PASS, backend: Backend = TORCH
    ) -> None:
        super().__init__()
        self.chunks_per_pass = chunks_per_pass
        self.encoder = Encoder(widths, backend)
        self.decoder = Decoder(widths, backend)
        self.register_buffer("latent_mean", torch.zeros(LATENT_CHANNELS))
        self.register_buffer("latent_std", torch.ones(LATENT_CHANNELS))

    def encode(self, frames: Tensor) -> Tensor:
        """Encode a clip.

        Args:
            frames: (B, 3, F, H, W) in [-1, 1]; sides multiples of 32, any F from 1.

        Returns:
            Normalised latent, (B, 48, T, H/16, W/16).

        Raises:
            ValueError: If a side is not a multiple of 32 or there are not three colours.
        """
        height, width = frames.shape[-2:]
        if frames.shape[1] != COLOURS or height % SIZE_MULTIPLE or width % SIZE_MULTIPLE:
            raise ValueError(
                f"Frames of shape {tuple(frames.shape)} cannot be coded: expected (B, 3, F, H, W) with sides that are "
                f"multiples of {SIZE_MULTIPLE}."
            )
        passes = to_chunks(frames).flatten(0, 1).split(self.chunks_per_pass)
        raw = torch.cat([self.encoder(part) for part in passes])
        mean, std = (statistic.to(raw)[:, None, None] for statistic in (self.latent_mean, self.latent_std))
        return rearrange((raw - mean) / std, "(b t) c h w -> b c t h w", b=frames.shape[0])

    def decode(self, latent: Tensor, output_buffer: Tensor | None = None) -> Tensor:
        """Decode a normalised latent.

        Args:
            latent: (B, 48, T, h, w), any T from 1.
            output_buffer: Tensor of the result's shape, on any device, to write it to; None for a new one.

        Returns:
            Frames in [-1, 1], (B, 3, 4 (T - 1) + 1, 16 h, 16 w).

        Raises:
            ValueError: If the latent does not have 48 channels.
        """
        if latent.ndim != 5 or latent.shape[1] != LATENT_CHANNELS:
            raise ValueError(f"A latent of shape {tuple(latent.shape)} cannot be decoded; expected (B, 48, T, h, w).")
        frames = latent.new_empty(decoded_shape(latent.shape)) if output_buffer is None else output_buffer
        for number, clip in enumerate(latent.transpose(1, 2)):
            for first in range(0, len(clip), self.chunks_per_pass):
                chunks = self.decoder(clip[first : first + self.chunks_per_pass])
                write_frames(chunks, frames[number], first)
        return frames.clamp_(-1, 1)
