"""A small classifier of the toons' voices, or of their emotions, in the log-mel.

It has convolutions with pooling over the frames that are not silent. Noise and shifts of level in training make it
robust to artefacts.

Dimension key: B clips, M mel frames.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from uniavgen_core.media.audio.mel import normalize_mel
from uniavgen_core.shapes import MEL_BINS

from .judge_training import fit, new_judge

_QUIETEST = -1.2
"""Floor of the normalised mel; values below it are silence."""
_LOUD = 0.3
"""A frame is speech if its mean is this far above the floor."""
_BATCH = 32
_LEARNING_RATE = 1e-2


class SoundJudge(nn.Module):
    """Classifier of speech."""

    def __init__(self, classes: int, dim: int = 64) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv1d(MEL_BINS, dim, 5, stride=2, padding=2), nn.BatchNorm1d(dim), nn.ReLU(),
            nn.Conv1d(dim, dim, 5, stride=2, padding=2), nn.BatchNorm1d(dim), nn.ReLU(),
        )  # fmt: skip
        self.head = nn.Linear(dim, classes)

    def forward(self, mel: Tensor) -> Tensor:
        """Logits of the classes, (B, classes), for normalised log-mels (B, 80, M)."""
        mel = mel.clamp(min=_QUIETEST)
        features = self.convolutions(mel)
        loud = (mel.mean(1, keepdim=True) > _QUIETEST + _LOUD).float()
        weight = F.adaptive_max_pool1d(loud, features.shape[-1]) + 1e-6
        return self.head((features * weight).sum(-1) / weight.sum(-1))


def train_sound_judge(mels: Tensor, labels: Tensor, classes: int, steps: int = 600, seed: int = 0) -> SoundJudge:
    """Train a judge.

    Args:
        mels: Log-mels, natural logarithm, not normalised, (B, 80, M).
        labels: Class of each, from 0, long, (B,).
        classes: Number of classes.
        steps: Training steps of 32 clips.
        seed: Seed of initial weights, order and augmentation.

    Returns:
        The trained judge.
    """
    generator = torch.Generator().manual_seed(seed)
    model, mels = new_judge(lambda: SoundJudge(classes), seed), normalize_mel(mels)

    def loss() -> Tensor:
        chosen = torch.randint(len(mels), (_BATCH,), generator=generator)
        level, strength = torch.rand(2, _BATCH, 1, 1, generator=generator)
        noise = 0.3 * strength * torch.randn(mels[chosen].shape, generator=generator)
        return F.cross_entropy(model(mels[chosen] + 0.4 * (level - 0.5) + noise), labels[chosen])

    return fit(model, loss, steps, _LEARNING_RATE)


@torch.no_grad()
def heard_classes(model: SoundJudge, mels: Tensor) -> Tensor:
    """Most probable class of each log-mel (B, 80, M), natural logarithm, not normalised; long, (B,)."""
    return model(normalize_mel(mels)).argmax(-1)
