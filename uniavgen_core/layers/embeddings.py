"""Sinusoidal features of times and positions.

Dimension key: P half the feature width.
"""

import torch
from torch import Tensor

THETA = 10_000.0


def sinusoid(positions: Tensor, dim: int) -> Tensor:
    """Sinusoidal features, cosines first.

    Args:
        positions: Times (0..1000) or positions, any shape.
        dim: Feature width, even.

    Returns:
        Features, float32, (..., dim): P cosines, then P sines.

    Source: Attention Is All You Need (arXiv:1706.03762), with the halves in Wan's order.
    """
    exponents = torch.arange(dim // 2, dtype=torch.float64, device=positions.device) / (dim // 2)
    angles = positions.double()[..., None] * THETA**-exponents
    return torch.cat((angles.cos(), angles.sin()), dim=-1).float()
