"""Adaptive layer modulation with one shift, scale and gate per time step of the sequence.

A sequence holds T time steps (latent frames, or mel frames) of N tokens each; the vectors are kept per time step and
spread over its tokens here. Source: DiT (arXiv:2212.09748), adaLN.
Dimension key: B batch, T time steps, N tokens per step, D width.
"""

import torch
from torch import Tensor


def modulate(tokens: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """``tokens * (1 + scale) + shift`` for normalised tokens (B, T * N, D), a shift and a scale (B, T, D)."""
    steps = tokens.unflatten(1, (shift.shape[1], -1))
    return torch.addcmul(shift[:, :, None], steps, 1 + scale[:, :, None]).flatten(1, 2)


def gated_add(tokens: Tensor, update: Tensor, gate: Tensor) -> Tensor:
    """``tokens + update * gate`` for a residual and its update (B, T * N, D), and a gate (B, T, D) or (B, T, 1)."""
    residual, steps = (x.unflatten(1, (gate.shape[1], -1)) for x in (tokens, update))
    return residual.addcmul(steps, gate[:, :, None]).flatten(1, 2)
