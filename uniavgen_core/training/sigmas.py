"""Distributions of the noise levels of training.

Source: logit-normal times (Esser et al., arXiv:2403.03206), and the shift of a schedule with which Wan samples. The
default leans to high noise, where the words of a sentence and the movement of a mouth are decided.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor


class Sigmas(Protocol):
    """A distribution of noise levels."""

    def draw(self, random: np.random.Generator) -> float:
        """Draw one noise level in (0, 1)."""
        ...


def sample_sigmas(sigmas: Sigmas, own: Sequence[np.random.Generator]) -> Tensor:
    """One noise level for each example, (B,)."""
    return torch.tensor([sigmas.draw(random) for random in own], dtype=torch.float32)


@dataclass(frozen=True)
class LogitNormal:
    """Noise levels whose logit is normal: ``sigma = sigmoid(N(mean, std))``.

    Attributes:
        mean: Mean of the logit; above 0 leans to noise.
        std: Standard deviation of the logit, positive.

    Raises:
        ValueError: If ``std`` is not positive.
    """

    mean: float = 1.0
    std: float = 1.2

    def __post_init__(self) -> None:
        if self.std <= 0:
            raise ValueError(f"std is {self.std}; it must be positive.")

    def draw(self, random: np.random.Generator) -> float:
        """Draw one noise level in (0, 1)."""
        return float(1 / (1 + np.exp(-(self.mean + self.std * random.standard_normal()))))


@dataclass(frozen=True)
class ShiftedUniform:
    """Noise levels uniform in (0, 1), pushed to noise as a sampler's schedule is: ``shift u / (1 + (shift - 1) u)``.

    Attributes:
        shift: 1 for none; 5 is the sampler's, so that levels are learned as often as they are met.

    Raises:
        ValueError: If ``shift`` is not positive.
    """

    shift: float = 1.0

    def __post_init__(self) -> None:
        if self.shift <= 0:
            raise ValueError(f"shift is {self.shift}; it must be positive.")

    def draw(self, random: np.random.Generator) -> float:
        """Draw one noise level in (0, 1)."""
        uniform = 1 - random.random()  # 0 excluded: a clean example has nothing to learn from.
        return float(self.shift * uniform / (1 + (self.shift - 1) * uniform))
