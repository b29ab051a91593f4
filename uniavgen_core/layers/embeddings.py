"""Sinusoidal features of times and positions.

Dimension key: P half the feature width.
"""

import torch
from torch import Tensor

THETA = 10_000.0


def exact(device: torch.device) -> torch.dtype:
    """Dtype for angles: float64, because a time of 1000 leaves float32 few digits; float32 on devices without it."""
    return torch.float32 if device.type == "mps" else torch.float64


def sinusoid(positions: Tensor, dim: int) -> Tensor:
    """Sinusoidal features, cosines first.

    Args:
        positions: Times (0..1000) or positions, any shape.
        dim: Feature width 2 P, even.

    Returns:
        Features, float32, (..., dim): P cosines, then P sines.

    Source: Attention Is All You Need (arXiv:1706.03762), with the halves in Wan's order.
    """
    dtype = exact(positions.device)
    exponents = torch.arange(dim // 2, dtype=dtype, device=positions.device) / (dim // 2)
    angles = positions.to(dtype)[..., None] * THETA**-exponents
    return torch.cat((angles.cos(), angles.sin()), dim=-1).float()
