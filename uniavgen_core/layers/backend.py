"""Layers and kernels that a network is built from, so that a host can supply its own.

Dimension key: B batch, T time steps, N queries or tokens, M keys, H heads, D width of all heads together.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from .modulation import modulate
from .rope import apply_rope
from .token_chunks import chunk_size, in_chunks, records_gradients


def attend(q: Tensor, k: Tensor, v: Tensor, heads: int, mask: Tensor | None = None, options: Any = None) -> Tensor:
    """Multi-head attention.

    Args:
        q: Queries, (B, N, D).
        k: Keys, (B, M, D).
        v: Values, (B, M, D).
        heads: Number of heads H that D splits into.
        mask: True for keys that count, bool, (B, M); None for all.
        options: Options of the host for this call; unused here.

    Returns:
        Attended values, (B, N, D).
    """
    del options
    q, k, v = (rearrange(x, "b n (h d) -> b h n d", h=heads) for x in (q, k, v))
    if mask is not None:
        mask = mask[:, None, None, :]
    return rearrange(F.scaled_dot_product_attention(q, k, v, attn_mask=mask), "b h n d -> b n (h d)")


def norm_modulate(tokens: Tensor, norm: nn.Module, shift: Tensor, scale: Tensor) -> Tensor:
    """Normalise tokens and modulate them (adaLN).

    Args:
        tokens: Tokens of T time steps, (B, T * N, D).
        norm: Their norm, without weights of its own.
        shift: Added last, (B, T, D).
        scale: One is added to it, (B, T, D).

    Returns:
        Modulated tokens, (B, T * N, D).
    """
    return modulate(norm(tokens), shift, scale)


def norm_rope(x: Tensor, norm: nn.Module, rope: Tensor | None, heads: int, out: Tensor | None = None) -> Tensor:
    """Normalise projected queries or keys and rotate them.

    Args:
        x: Queries or keys, (B, N, D); the shape stays.
        norm: Their norm.
        rope: Their rotary table, (1 or B, N, 1, D / H / 2, 2, 2); None for no rotation.
        heads: Number of heads H.
        out: Tensor that the result may be written into where autograd does not record, for example ``x`` if it is the
            caller's own; None for a new one.
    """
    batch, length = x.shape[:2]
    recorded = records_gradients(x, layers=norm)
    size = length if recorded else max(1, chunk_size(batch * length) // batch)

    def work(chunk: slice) -> Tensor:
        normed = norm(x[:, chunk])
        if rope is None:
            return normed
        return apply_rope(normed.unflatten(-1, (heads, -1)), rope[:, chunk]).flatten(-2)

    return in_chunks(work, length, size, out)


def cast(parameter: Tensor, like: Tensor) -> Tensor:
    """Bring a bare parameter to the dtype of ``like``; hosts that offload weights move it too."""
    return parameter.to(like.dtype)


def repeatable(layer: nn.Module, like: Tensor) -> bool:
    """True if a layer may run chunk by chunk at no cost: its weights are neither fetched nor unpacked for each run."""
    del layer, like
    return True


@dataclass(frozen=True)
class Backend:
    """Layers and kernels of a network.

    Attributes:
        ops: Layer classes (``ops.Linear``, ...).
        attention: Multi-head attention.
        norm_modulate: Normalises and modulates tokens.
        norm_rope: Normalises and rotates queries and keys.
        cast: Brings bare parameters to the tokens' dtype.
        repeatable: Tells layers that may run chunk by chunk at no cost.
    """

    ops: Any = nn
    attention: Callable[..., Tensor] = attend
    norm_modulate: Callable[[Tensor, nn.Module, Tensor, Tensor], Tensor] = norm_modulate
    norm_rope: Callable[..., Tensor] = norm_rope
    cast: Callable[[Tensor, Tensor], Tensor] = cast
    repeatable: Callable[[nn.Module, Tensor], bool] = repeatable


TORCH = Backend()
