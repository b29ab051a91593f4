"""How noisy the training examples are.

Source: logit-normal times (Esser et al., arXiv:2403.03206). The default leans to high noise, where the words of a
sentence and the movement of a mouth are decided.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


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

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw ``count`` noise levels in (0, 1), (count,)."""
        return torch.sigmoid(self.mean + self.std * torch.randn(count, generator=generator))
