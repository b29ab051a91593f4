"""Adaptive layer modulation with one shift, scale and gate per time step of the sequence.

A sequence holds T time steps (latent frames, or mel frames) of N tokens each; the vectors are kept per time step and
spread over its tokens here. Source: DiT (arXiv:2212.09748), adaLN.
Dimension key: B batch, T time steps, N tokens per step, D width.
"""

import torch
from torch import Tensor


def modulate(tokens: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Scale and shift normalised tokens.

    Args:
        tokens: Normalised tokens, (B, T * N, D).
        shift: Added last, (B, T, D).
        scale: One is added to it, (B, T, D).

    Returns:
        ``tokens * (1 + scale) + shift``, (B, T * N, D).
    """
    steps = tokens.unflatten(1, (shift.shape[1], -1))
    return torch.addcmul(shift[:, :, None], steps, 1 + scale[:, :, None]).flatten(1, 2)


def gated_add(tokens: Tensor, update: Tensor, gate: Tensor) -> Tensor:
    """Add a gated residual.

    Args:
        tokens: Residual stream, (B, T * N, D).
        update: Result of a sub-layer, (B, T * N, D).
        gate: Its weight, (B, T, D) or (B, T, 1).

    Returns:
        ``tokens + update * gate``, (B, T * N, D).
    """
    residual, steps = (x.unflatten(1, (gate.shape[1], -1)) for x in (tokens, update))
    return residual.addcmul(steps, gate[:, :, None]).flatten(1, 2)
