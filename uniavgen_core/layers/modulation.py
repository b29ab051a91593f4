"""Adaptive layer modulation with one shift, scale and gate per time step of the sequence.

A sequence holds T time steps (latent frames, or mel frames) of N tokens each; the vectors are kept per time step and
spread over its tokens here. Where tokens of a frame have different times, each is a time step of its own.
Source: DiT (arXiv:2212.09748), adaLN.
Dimension key: B batch, T time steps, N tokens per step, D width.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def spread(vectors: Tensor, places: Tensor | None) -> Tensor:
    """Vectors of some times, (1, K, D), for tokens with ``places`` among them, (B, L): one for each, (B, L, D).

    Without places, the vectors are those of the time steps in order, (B, T, D), and are returned as they are.
    """
    return vectors if places is None else F.embedding(places, vectors[0])


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
