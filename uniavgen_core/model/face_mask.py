"""Face-aware modulation: a weight for each video token by how much of a face it shows, which a user can steer.

Source: UniAVGen (arXiv:2511.03334), section 3.3; steering is this project's own.
Dimension key: B batch, K audio tracks, T latent frames, H and W latent rows and columns, N tokens per latent frame,
D width.
"""

from dataclasses import dataclass
from enum import Enum

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..layers.backend import Backend
from .branch import Head


class FaceMaskHead(Head):
    """Predicts the face weight of every video token from the video branch's state."""

    def __init__(self, dim: int, timed: bool, backend: Backend) -> None:
        super().__init__(dim, 1, backend)
        self.timed = timed

    def forward(self, tokens: Tensor, temb: Tensor, places: Tensor | None = None) -> Tensor:
        """Predict face weights in [0, 1], (B, T * N, 1).

        Args:
            tokens: Video tokens, (B, T * N, D).
            temb: Time embedding of each latent frame, (B, T, D), or of K times; ignored by the paper's untimed head.
            places: Place of each token's time among the K times, (B, T * N), or None.
        """
        return torch.sigmoid(super().forward(tokens, temb if self.timed else torch.zeros_like(temb), places))


class WholePicture(nn.Module):
    """The mask of a network without face-aware modulation: every video token counts fully."""

    def forward(self, video: Tensor, temb: Tensor, places: Tensor | None = None) -> Tensor:
        """Return ones, (B, T * N, 1), for video tokens (B, T * N, D)."""
        del temb, places
        return torch.ones_like(video[..., :1])


class SteeringMode(Enum):
    """Operation that combines a user's mask with the predicted one."""

    REPLACE = "replace"
    MULTIPLY = "multiply"
    ADD = "add"


@dataclass(frozen=True)
class FaceSteering:
    """A user's mask for every audio track: the part of the video that the track exchanges with.

    Attributes:
        mask: Weight in [0, 1] of every latent pixel, (B, K, T, H, W).
        mode: Operation that combines it with the predicted mask.
        strength: Interpolation from the predicted mask, at 0, to the combined one, at 1.
    """

    mask: Tensor
    mode: SteeringMode = SteeringMode.REPLACE
    strength: float = 1.0

    def steer(self, predicted: Tensor, patch_size: int) -> Tensor:
        """Combine the predicted mask with the user's.

        Args:
            predicted: Face weight of each video token, (B, T * N, 1).
            patch_size: Latent pixels per token side; a token's weight is the mean over its pixels.

        Returns:
            Face weight of each video token for each track, (B, T * N, K).
        """
        pooled = F.avg_pool2d(self.mask.flatten(0, 1).to(predicted), patch_size)
        mask = pooled.unflatten(0, self.mask.shape[:2]).flatten(2).transpose(1, 2)
        combined = {
            SteeringMode.REPLACE: mask,
            SteeringMode.MULTIPLY: predicted * mask,
            SteeringMode.ADD: (predicted + mask).clamp(max=1),
        }[self.mode]
        return torch.lerp(predicted.expand_as(combined), combined, self.strength)
