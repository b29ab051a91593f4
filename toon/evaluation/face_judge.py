"""A small classifier of the toons' emotions in single pictures.

It has a few convolutions over the whole picture. Blur, noise, shifts and changes of brightness in training make it
robust to artefacts.

Dimension key: B clips, F pictures of a clip, N pictures, h and w rows and columns of a small picture.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .judge_training import fit, new_judge

_BATCH = 48
_LEARNING_RATE = 3e-3
_MOST_SHIFT = 4


class FaceJudge(nn.Module):
    """Emotion classifier of faces."""

    def __init__(self, classes: int = 3, dim: int = 24) -> None:
        super().__init__()
        widths = (3, dim, 2 * dim, 2 * dim, 2 * dim)
        self.convolutions = nn.Sequential(
            *(
                nn.Sequential(nn.Conv2d(a, b, 3, stride=2, padding=1), nn.BatchNorm2d(b), nn.ReLU())
                for a, b in pairwise(widths)
            )
        )
        self.head = nn.Linear(2 * dim * 16, classes)

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits of the emotions, (N, classes), for pictures in [0, 1], (N, 3, 64, 64)."""
        return self.head(self.convolutions(pictures - 0.5).flatten(1))


def train_face_judge(pictures: Tensor, labels: Tensor, steps: int = 800, seed: int = 0, classes: int = 3) -> FaceJudge:
    """Train a judge.

    Args:
        pictures: Pictures in [0, 1], (B, F, 3, 64, 64).
        labels: Emotion of each clip, long, (B,).
        steps: Training steps of 48 pictures.
        seed: Seed of initial weights, order and augmentation.
        classes: Number of emotions.

    Returns:
        The trained judge.
    """
    generator = torch.Generator().manual_seed(seed)
    model = new_judge(lambda: FaceJudge(classes), seed)

    def loss() -> Tensor:
        clip = torch.randint(len(pictures), (_BATCH,), generator=generator)
        frame = torch.randint(pictures.shape[1], (_BATCH,), generator=generator)
        return F.cross_entropy(model(disturb(pictures[clip, frame], generator)[0]), labels[clip])

    return fit(model, loss, steps, _LEARNING_RATE, decay=0.05)


def disturb(pictures: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Augment pictures by shift, blur, brightness and noise; shift and blur are the same for the whole batch.

    Args:
        pictures: In [0, 1], (N, 3, h, w).
        generator: Source of randomness.

    Returns:
        The pictures, and their shift (x, y) in shares of the side, (2,).
    """
    down, across, blur = (int(x) for x in torch.randint(2 * _MOST_SHIFT + 1, (3,), generator=generator))
    padded = F.pad(pictures, [_MOST_SHIFT] * 4, mode="replicate")
    moved = padded[..., down : down + pictures.shape[-2], across : across + pictures.shape[-1]]
    if blur % 2:
        moved = F.avg_pool2d(F.pad(moved, [1] * 4, mode="replicate"), 3, stride=1)
    light, strength = torch.rand(2, len(pictures), 1, 1, 1, generator=generator)
    shift = torch.tensor([_MOST_SHIFT - across, _MOST_SHIFT - down]) / pictures.shape[-1]
    return moved + 0.2 * (light - 0.5) + 0.06 * strength * torch.randn(moved.shape, generator=generator), shift


@torch.no_grad()
def seen_emotions(model: FaceJudge, pictures: Tensor) -> Tensor:
    """Most probable emotion of each clip.

    Args:
        model: A trained judge.
        pictures: Pictures in [0, 1], (B, F, 3, 64, 64).

    Returns:
        Emotion with the highest mean probability over the clip's pictures, long, (B,).
    """
    scores = model(pictures.flatten(0, 1)).softmax(-1)
    return scores.view(*pictures.shape[:2], -1).mean(1).argmax(-1)
