"""Where layers and attention kernels come from, so that a host can supply its own.

Dimension key: B batch, N queries, M keys, H heads, D width of all heads together.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn


def attend(q: Tensor, k: Tensor, v: Tensor, heads: int, mask: Tensor | None = None, options: Any = None) -> Tensor:
    """Multi-head attention.

    Args:
        q: Queries, (B, N, D).
        k: Keys, (B, M, D).
        v: Values, (B, M, D).
        heads: Number of heads D splits into.
        mask: Which keys count, bool, (B, M); None for all.
        options: Data of the host for this call; unused here.

    Returns:
        Attended values, (B, N, D).
    """
    del options
    q, k, v = (rearrange(x, "b n (h d) -> b h n d", h=heads) for x in (q, k, v))
    if mask is not None:
        mask = mask[:, None, None, :]
    return rearrange(F.scaled_dot_product_attention(q, k, v, attn_mask=mask), "b h n d -> b n (h d)")


def cast(parameter: Tensor, like: Tensor) -> Tensor:
    """Bring a bare parameter to the dtype of ``like``; hosts that offload weights move it too."""
    return parameter.to(like.dtype)


@dataclass(frozen=True)
class Backend:
    """Layer classes (``ops.Linear``, ...), the attention function and the parameter cast a model is built from."""

    ops: Any = nn
    attention: Callable[..., Tensor] = attend
    cast: Callable[[Tensor, Tensor], Tensor] = cast


TORCH = Backend()
