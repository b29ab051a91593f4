"""Attention for training on a CPU: written out where sequences are short.

PyTorch's fused kernel is slow backwards there in bfloat16: 6 times slower at 160 tokens, equal at 640.
Dimension key: B batch, N queries, M keys, H heads, D width of all heads together.
"""

from math import sqrt
from typing import Any

import torch
from einops import rearrange
from torch import Tensor

from ..layers.backend import Backend
from ..layers.backend import attend as attend_fused

LONGEST = 320 * 320
"""Most pairs of query and key for which attention is written out."""


def attend(q: Tensor, k: Tensor, v: Tensor, heads: int, mask: Tensor | None = None, options: Any = None) -> Tensor:
    """Multi-head attention, the same as ``layers.backend.attend`` in the dtype of ``v``.

    Args:
        q: Queries, (B, N, D).
        k: Keys, (B, M, D).
        v: Values, (B, M, D).
        heads: Number of heads D splits into.
        mask: Which keys count, bool, (B, M); None for all.
        options: Unused.

    Returns:
        Attended values, (B, N, D).
    """
    q, k = q.to(v.dtype), k.to(v.dtype)
    if v.device.type != "cpu" or q.shape[1] * k.shape[1] > LONGEST:
        return attend_fused(q, k, v, heads, mask, options)
    with torch.autocast("cpu", enabled=False):
        q, k, v = (rearrange(x, "b n (h d) -> b h n d", h=heads) for x in (q, k, v))
        scores = (q / sqrt(q.shape[-1])) @ k.mT
        if mask is not None:
            scores = scores.masked_fill(~mask[:, None, None, :], float("-inf"))
        return rearrange(scores.softmax(-1) @ v, "b h n d -> b n (h d)")


TRAINING = Backend(attention=attend)
