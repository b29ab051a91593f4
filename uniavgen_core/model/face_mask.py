"""Face-aware modulation: how much each video token shows a face.

Source: UniAVGen (arXiv:2511.03334), section 3.3.
Dimension key: B batch, T latent frames, N tokens per latent frame, D width.
"""

import torch
from torch import Tensor

from ..layers.backend import Backend
from .branch import Head


class FaceMaskHead(Head):
    """Predicts the face weight of every video token from the video branch's state."""

    def __init__(self, dim: int, timed: bool, backend: Backend) -> None:
        super().__init__(dim, 1, backend)
        self.timed = timed

    def forward(self, video: Tensor, temb: Tensor) -> Tensor:
        """Predict the mask.

        Args:
            video: Video tokens, (B, T * N, D).
            temb: Time embedding of each latent frame, (B, T, D); ignored by the paper's untimed head.

        Returns:
            Face weight in [0, 1], (B, T * N, 1).
        """
        return torch.sigmoid(super().forward(video, temb if self.timed else torch.zeros_like(temb)))
