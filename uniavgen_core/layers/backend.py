"""Where layers and attention kernels come from, so that a host can supply its own.

Dimension key: B batch, N queries, M keys, H heads, D width of all heads together.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from .modulation import modulate
from .rope import rotate
from .token_chunks import by_parts, part_size


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


def normalise(tokens: Tensor, norm: nn.Module, shift: Tensor, scale: Tensor) -> Tensor:
    """Normalise and modulate tokens.

    Args:
        tokens: Tokens of T time steps, (B, T * N, D).
        norm: Their norm, without weights of its own.
        shift: Added last, (B, T, D).
        scale: One is added to it, (B, T, D).

    Returns:
        Modulated tokens, (B, T * N, D).
    """
    return modulate(norm(tokens), shift, scale)


def turn(x: Tensor, norm: nn.Module, rotation: Tensor | None, heads: int, into: Tensor | None = None) -> Tensor:
    """Normalise and rotate projected queries or keys.

    Args:
        x: Queries or keys, (B, N, D).
        norm: Their norm.
        rotation: Their rotations, (1 or B, N, 1, D / H / 2, 2, 2); None for none.
        heads: Number of heads H.
        into: Memory for the result where autograd does not look, for example ``x``; None for new memory.

    Returns:
        Turned queries or keys, (B, N, D).
    """
    batch, length = x.shape[:2]

    def work(part: slice) -> Tensor:
        normed = norm(x[:, part])
        if rotation is None:
            return normed
        return rotate(normed.unflatten(-1, (heads, -1)), rotation[:, part]).flatten(-2)

    return by_parts(work, length, max(1, part_size(batch * length) // batch), into)


def cast(parameter: Tensor, like: Tensor) -> Tensor:
    """Bring a bare parameter to the dtype of ``like``; hosts that offload weights move it too."""
    return parameter.to(like.dtype)


def repeatable(layer: nn.Module, like: Tensor) -> bool:
    """Whether a layer may run part by part at no cost: its weights are neither fetched nor unpacked for each part."""
    del layer, like
    return True


@dataclass(frozen=True)
class Backend:
    """What a model is built from.

    Attributes:
        ops: Layer classes (``ops.Linear``, ...).
        attention: The attention function.
        normalise: Normalises and modulates tokens.
        turn: Normalises and rotates queries and keys.
        cast: Brings bare parameters to the tokens' dtype.
        repeatable: Tells layers that may run part by part at no cost.
    """

    ops: Any = nn
    attention: Callable[..., Tensor] = attend
    normalise: Callable[[Tensor, nn.Module, Tensor, Tensor], Tensor] = normalise
    turn: Callable[..., Tensor] = turn
    cast: Callable[[Tensor, Tensor], Tensor] = cast
    repeatable: Callable[[nn.Module, Tensor], bool] = repeatable


TORCH = Backend()
