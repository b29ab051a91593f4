"""Noise levels of a sampling run.

Source: the inference release's time grid; the shift is that of SD3 (arXiv:2403.03206, equation 23).
"""

import math

import torch
from torch import Tensor

TIMESTEPS = 1000


def shift_sigma(sigma: Tensor, shift: float) -> Tensor:
    """Move noise levels towards noise: ``shift * sigma / (1 + (shift - 1) * sigma)``.

    Args:
        sigma: Noise levels in [0, 1], any shape.
        shift: 1 leaves them as they are.

    Returns:
        Shifted noise levels, same shape.
    """
    return shift * sigma / (1 + (shift - 1) * sigma)


def release_sigmas(steps: int, shift: float = 5.0, dtype: torch.dtype = torch.float32) -> Tensor:
    """Noise levels as the release spaces them: even from 1 to 1/1000, shifted, then 0.

    Args:
        steps: Sampling steps, at least 1.
        shift: See ``shift_sigma``; positive.
        dtype: Precision of the time grid. The release runs it in bfloat16, an error of up to 8 % in the result.

    Returns:
        Noise levels, float32, (steps + 1,), falling from 1 to 0.

    Raises:
        ValueError: If ``steps`` or ``shift`` is not positive.
    """
    if steps < 1:
        raise ValueError(f"steps is {steps}; at least one step is needed.")
    if shift <= 0:
        raise ValueError(f"shift is {shift}; it must be positive.")
    even = torch.linspace(TIMESTEPS, 1, steps) / TIMESTEPS
    times = torch.cat((shift_sigma(even, shift) * TIMESTEPS, torch.zeros(1)))
    return times.to(dtype).float() / TIMESTEPS


def simple_sigmas(steps: int, shift: float = 5.0) -> Tensor:
    """Noise levels of ComfyUI's scheduler ``simple``: even from 1 to 0, shifted; those of 2 steps are among those of 4.

    Args:
        steps: Sampling steps, at least 1.
        shift: See ``shift_sigma``; positive.

    Returns:
        Noise levels, float32, (steps + 1,), falling from 1 to 0; of 4 steps with shift 5, 1, 15/16, 5/6, 5/8 and 0.
    """
    return shift_sigma(torch.linspace(1, 0, steps + 1, dtype=torch.float64), shift).float()


def boundary_sigma(sigmas: Tensor, steps: int) -> float:
    """Noise level between two neighbouring steps: the first ``steps`` steps lie above it, the others below.

    Args:
        sigmas: Falling noise levels of a run, (N + 1,).
        steps: Number of steps above, 0..N.

    Returns:
        Infinity for 0 steps.
    """
    if steps <= 0:
        return math.inf
    return float(sigmas[steps - 1] + sigmas[steps]) / 2
