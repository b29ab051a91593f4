"""Gaze and lids of a toon, read from crops of its eyes by a small network.

Dimension key: N crops, F video frames, h and w rows and columns of a crop.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..clips import ToonClip
from .broken_parts import CropNetwork, part_crops
from .judge_training import fit, new_judge

_BATCH, _LEARNING_RATE, _JITTER = 48, 3e-3, 0.7


class GazeJudge(CropNetwork):
    """Network that reads the gaze, rightwards and downwards, -1 to 1, and the closure of the lids, 0 to 1."""

    def __init__(self) -> None:
        super().__init__(outputs=3)


def eye_crops(clips: Sequence[ToonClip], seed: int) -> tuple[Tensor, Tensor]:
    """Crops of the eyes, not quite in place, (N, 3, 32, 48), and their gaze and closure, (N, 3)."""
    rng = np.random.default_rng(seed)
    crops = [
        part_crops(
            clip.frames, clip.mouth_center + rng.normal(0, _JITTER, clip.mouth_center.shape), clip.face_radius, "eyes"
        )
        for clip in clips
    ]
    values = np.concatenate([np.concatenate([clip.gaze, clip.lids[:, None]], 1) for clip in clips])
    return torch.cat(crops), torch.from_numpy(values).float()


def train_gaze_judge(clips: Sequence[ToonClip], steps: int = 1000, seed: int = 0) -> GazeJudge:
    """Train a judge on clips of any length, half on eyes that look away; brightness, noise and blur make it robust."""
    generator = torch.Generator().manual_seed(seed)
    model = new_judge(GazeJudge, seed)
    crops, values = eye_crops(clips, seed)
    away = values[:, :2].abs().amax(1) > 0
    kinds = [torch.where(kind)[0] for kind in (~away, away) if kind.any()]

    def loss() -> Tensor:
        drawn = [kind[torch.randint(len(kind), (_BATCH // len(kinds),), generator=generator)] for kind in kinds]
        chosen = torch.cat(drawn)
        seen = crops[chosen]
        if torch.rand((), generator=generator) < 0.5:
            seen = F.avg_pool2d(F.pad(seen, [1] * 4, mode="replicate"), 3, stride=1)
        light, strength = torch.rand(2, len(chosen), 1, 1, 1, generator=generator)
        noise = 0.05 * strength * torch.randn(seen.shape, generator=generator)
        found, wanted = model(seen + 0.15 * (light - 0.5) + noise), values[chosen]
        open_eyes = (1 - wanted[:, 2:]).clamp(min=0)  # behind lids there is no gaze
        return (open_eyes * (found[:, :2] - wanted[:, :2]) ** 2).mean() + ((found[:, 2] - wanted[:, 2]) ** 2).mean()

    return fit(model, loss, steps, _LEARNING_RATE, decay=0.05)


@torch.no_grad()
def read_gaze(model: GazeJudge, frames: np.ndarray, mouths: np.ndarray, radius: float) -> np.ndarray:
    """Gaze and closure of the lids in every frame, (F, 3); places as for ``part_crops``."""
    return model(part_crops(frames, mouths, radius, "eyes")).numpy()
