"""Places of a toon's mouth and eyes in a picture, found by a small network.

In the lively world a generated head moves in its own way, so the places in the true clip do not hold for it.
Dimension key: N pictures, B clips, F pictures of a clip, H picture height, W picture width, h and w cells.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..clips import ToonClip
from .face_judge import disturb
from .judge_data import small_faces
from .judge_training import fit, new_judge

_BATCH, _LEARNING_RATE = 32, 3e-3


class PlaceFinder(nn.Module):
    """Finder of the middle of the closed mouth."""

    def __init__(self, dim: int = 24) -> None:
        super().__init__()
        widths = ((3, dim, 2), (dim, 2 * dim, 2), (2 * dim, 2 * dim, 1), (2 * dim, 2 * dim, 1))
        self.layers = nn.Sequential(
            *(
                nn.Sequential(nn.Conv2d(a, b, 5, stride=stride, padding=2), nn.BatchNorm2d(b), nn.ReLU())
                for a, b, stride in widths
            ),
            nn.Conv2d(2 * dim, 1, 1),
        )

    def forward(self, pictures: Tensor) -> Tensor:
        """Places (x, y) in shares of the side, (N, 2), for pictures in [0, 1], (N, 3, 64, 64)."""
        scores = self.layers(pictures - 0.5)[:, 0]
        share = scores.flatten(1).softmax(1).view_as(scores)
        side = (torch.arange(scores.shape[-1]) + 0.5) / scores.shape[-1]
        return torch.stack([(share.sum(1) * side).sum(1), (share.sum(2) * side).sum(1)], 1)


def train_place_finder(clips: Sequence[ToonClip], steps: int = 600, seed: int = 0) -> PlaceFinder:
    """Train a finder on square clips of one length."""
    pictures = torch.stack([small_faces(clip.frames) for clip in clips])
    places = torch.stack([torch.from_numpy(clip.mouth_center) / clip.frames.shape[1] for clip in clips])
    generator = torch.Generator().manual_seed(seed)
    model = new_judge(PlaceFinder, seed)

    def loss() -> Tensor:
        clip = torch.randint(len(pictures), (_BATCH,), generator=generator)
        frame = torch.randint(pictures.shape[1], (_BATCH,), generator=generator)
        seen, moved = disturb(pictures[clip, frame], generator)
        return F.smooth_l1_loss(model(seen), places[clip, frame] + moved, beta=0.01)

    return fit(model, loss, steps, _LEARNING_RATE)


@torch.no_grad()
def mouth_places(model: PlaceFinder, frames: np.ndarray) -> np.ndarray:
    """Middle of the closed mouth in square frames (F, H, W, 3) uint8, pixels (x, y), (F, 2)."""
    return (model(small_faces(frames)) * frames.shape[1]).numpy()
