"""Judge of broken eyes and mouths: smeared, doubled, torn or speckled, as people see it.

It is trained on crops of true pictures and of damaged ones; a crop counts as broken if the damage costs more than the
codec's own blur does. Blinks and any opening of the mouth are whole.
Dimension key: N crops, F pictures of a clip, H picture height, W picture width, h and w rows and columns of a crop.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..clips import ToonClip
from .judge_training import fit, new_judge

PARTS = {"eyes": (-0.68, 0.85, 0.45), "mouth": (0.08, 0.6, 0.42)}
"""Middle of each part below that of the closed mouth, half its width, and half its height, in head radii."""
CROP = (32, 48)
_WHOLE_DB, _BROKEN_DB = 26.0, 20.0
"""A crop is whole from the first on, against its own truth, and broken up to the second; others are not learned."""
_BATCH, _LEARNING_RATE = 48, 3e-3
Damage = Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]


def part_crops(frames: np.ndarray, mouths: np.ndarray, radius: float, part: str) -> Tensor:
    """Crops of one of ``PARTS``.

    Args:
        frames: RGB, (F, H, W, 3) uint8.
        mouths: Middle of the closed mouth, pixels (x, y), (F, 2).
        radius: Half the width of the head, pixels.
        part: Name of the part.

    Returns:
        Crops in [0, 1], (F, 3, 32, 48).
    """
    down, half_width, half_height = PARTS[part]
    size = max(2, round(2 * half_width * radius)), max(2, round(2 * half_height * radius))
    crops = [
        cv2.resize(cv2.getRectSubPix(frame, size, (float(x), float(y + down * radius))), CROP[::-1])
        for frame, (x, y) in zip(frames, mouths, strict=True)
    ]
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 255


class CropNetwork(nn.Module):
    """Small convolutional network over crops."""

    def __init__(self, outputs: int, dim: int = 24) -> None:
        super().__init__()
        widths = (3, dim, 2 * dim, 2 * dim)
        self.convolutions = nn.Sequential(
            *(
                nn.Sequential(nn.Conv2d(a, b, 3, stride=2, padding=1), nn.BatchNorm2d(b), nn.ReLU())
                for a, b in pairwise(widths)
            )
        )
        self.head = nn.Linear(2 * dim * (CROP[0] // 8) * (CROP[1] // 8), outputs)

    def forward(self, crops: Tensor) -> Tensor:
        """Outputs, (N, outputs), for crops in [0, 1], (N, 3, 32, 48)."""
        return self.head(self.convolutions(crops - 0.5).flatten(1))


class PartJudge(CropNetwork):
    """Classifier of whole and broken crops."""

    def __init__(self) -> None:
        super().__init__(outputs=1)

    def forward(self, crops: Tensor) -> Tensor:
        """Logits of being broken, (N,), for crops in [0, 1], (N, 3, 32, 48)."""
        return super().forward(crops)[:, 0]


def _ghost(frame: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    share = rng.uniform(0.3, 0.7)
    return cv2.addWeighted(frame, 1 - share, other, share, 0)


def _smear(frame: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    del other
    return cv2.GaussianBlur(frame, (0, 0), rng.uniform(0.5, 4.0))


def _tear(frame: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Shift of the pixels that differs from place to place."""
    del other
    shape = frame.shape[:2]
    reach, scale = rng.uniform(0.5, 6.0), rng.uniform(3, 10)
    shifts = [
        cv2.resize(rng.normal(0, reach, (max(2, int(shape[0] / scale)), max(2, int(shape[1] / scale)))), shape[::-1])
        for _ in range(2)
    ]
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return cv2.remap(
        frame, (columns + shifts[0]).astype(np.float32), (rows + shifts[1]).astype(np.float32), cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip


def _speckle(frame: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    del other
    noise = cv2.GaussianBlur(rng.normal(0, 1, frame.shape).astype(np.float32), (0, 0), rng.uniform(0.6, 1.5))
    level = rng.uniform(4, 50) / max(float(noise.std()), 1e-6)
    return np.clip(frame + level * noise, 0, 255).astype(np.uint8)


def _patch(frame: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Part of another moment, with a soft edge."""
    mask = cv2.GaussianBlur((rng.random((6, 6)) < 0.5).astype(np.float32), (0, 0), 0.8)
    mask = cv2.resize(mask, frame.shape[1::-1])[..., None]
    return (frame * (1 - mask) + other * mask).astype(np.uint8)


DAMAGES: tuple[Damage, ...] = (_ghost, _smear, _tear, _speckle, _patch)


def damaged(frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Damage every picture of a clip (F, H, W, 3) in its own way, some of them twice."""
    pictures = []
    for number, frame in enumerate(frames):
        seen = frame
        for _ in range(int(rng.integers(1, 3))):
            other = frames[(number + int(rng.integers(2, 7))) % len(frames)]
            seen = DAMAGES[rng.integers(len(DAMAGES))](seen, other, rng)
        pictures.append(seen)
    return np.stack(pictures)


def draw_parts(clips: Sequence[ToonClip], part: str, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Crops of a part of true and of damaged pictures, (N, 3, 32, 48), and whether each is broken, (N,) bool."""
    crops, broken = [], []
    for number, clip in enumerate(clips):
        rng = np.random.default_rng((seed, number))
        jitter = rng.normal(0, 1.0, clip.mouth_center.shape)
        for frames in (clip.frames, damaged(clip.frames, rng), damaged(clip.frames, rng)):
            pair = [part_crops(x, clip.mouth_center + jitter, clip.face_radius, part) for x in (frames, clip.frames)]
            decibels = -10 * (pair[0] - pair[1]).square().mean((1, 2, 3)).clamp(min=1e-9).log10()
            learned = (decibels >= _WHOLE_DB) | (decibels <= _BROKEN_DB)
            crops.append(pair[0][learned])
            broken.append(decibels[learned] <= _BROKEN_DB)
    return torch.cat(crops), torch.cat(broken)


def train_part_judge(crops: Tensor, broken: Tensor, steps: int = 1000, seed: int = 0) -> PartJudge:
    """Train a judge on crops (N, 3, 32, 48), in equal shares of whole and of broken ones."""
    generator = torch.Generator().manual_seed(seed)
    model = new_judge(PartJudge, seed)
    kinds = [torch.where(broken == kind)[0] for kind in (False, True)]

    def loss() -> Tensor:
        chosen = torch.cat([kind[torch.randint(len(kind), (_BATCH // 2,), generator=generator)] for kind in kinds])
        light = 0.15 * (torch.rand(_BATCH, 1, 1, 1, generator=generator) - 0.5)
        return F.binary_cross_entropy_with_logits(model(crops[chosen] + light), broken[chosen].float())

    return fit(model, loss, steps, _LEARNING_RATE, decay=0.05)


@torch.no_grad()
def are_broken(model: PartJudge, crops: Tensor) -> Tensor:
    """True for broken crops, bool, (N,), of crops (N, 3, 32, 48)."""
    return model(crops) > 0
