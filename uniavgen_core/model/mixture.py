"""Attention to mixes of two latents, of which none is made.

Keys are linear in the latents but for their normalisation. So a mix scores the mix of what both latents' own keys
score, times their norms, over the norm of the mix, which follows from inner products; and what is seen of a mix is
the mix of what is seen of both.
Dimension key: B batch, P pairs of latents, Q query slots, T latents, N tokens per latent, H heads, D attention width.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, sqrt

import torch
from einops import rearrange
from torch import Tensor

from ..layers.attention import EPS
from ..layers.parts import LEAST, by_parts
from .geometry import Mixes

PARTS = 4
"""Of the pairs, where attention is done in parts: both latents of a pair are copied."""


@dataclass(frozen=True)
class Seen:
    """What latents show of themselves.

    Attributes:
        keys: Projected, (B, T, N, D).
        turned: The same normalised and rotated.
        values: Projected values, (B, T, N, D).
    """

    keys: Tensor
    turned: Tensor
    values: Tensor

    def unflatten(self, num_latents: int) -> "Seen":
        """Latents that were rows of the batch as an axis of their own."""
        return Seen(*(x.unflatten(0, (-1, num_latents)) for x in (self.keys, self.turned, self.values)))

    def take(self, index: Tensor) -> "Seen":
        """Some of the latents, (B, P, N, D)."""
        return Seen(self.keys[:, index], self.turned[:, index], self.values[:, index])


def attend_mixes(q: Tensor, latents: Seen, nothing: Seen, mixes: Mixes, heads: int) -> Tensor:
    """Attend from each query to its own mix.

    Args:
        q: Queries, normalised, (B, P, Q, D).
        latents: The latents, (B, T, N, D).
        nothing: What a latent of zeros shows, (1, N, D): a mix has the layers' biases once, whatever its weights.
        mixes: Which latents are mixed and how.
        heads: Number of heads H.

    Returns:
        What is seen, (B, P, Q, D).
    """
    num_pairs, num_tokens = q.shape[1], latents.keys.shape[2]

    def work(part: slice) -> Tensor:
        return _attend(q[:, part], latents, nothing, mixes.some(part), heads)

    return by_parts(work, num_pairs, max(ceil(num_pairs / PARTS), LEAST // num_tokens))


def _attend(q: Tensor, latents: Seen, nothing: Seen, mixes: Mixes, heads: int) -> Tensor:
    weights = [weight[..., None] for weight in (mixes.low_weight, mixes.high_weight)]
    spare = 1 - weights[0] - weights[1]
    parts = (latents.take(mixes.low), latents.take(mixes.high))
    queries = rearrange(q, "b p q (h d) -> b p h q d", h=heads)
    scores = _norm(nothing.keys) * (
        rearrange(q, "b p q (h d) -> b h (p q) d", h=heads) @ _heads(nothing.turned, heads).mT
    )
    scores = spare[:, None] * rearrange(scores, "b h (p q) n -> b p h q n", p=q.shape[1])
    for weight, part in zip(weights, parts, strict=True):
        near = queries @ _heads(part.turned, heads).mT
        scores = scores + weight[:, None] * (_norm(part.keys)[:, :, None, None] * near)
    norm = _norm_of_mix([*weights, spare], [*(part.keys for part in parts), nothing.keys[:, None]])
    attended = (scores / norm[:, :, None] / sqrt(queries.shape[-1])).softmax(-1).to(q.dtype)
    seen = spare[:, None] * _heads(nothing.values[:, :1], heads)
    for weight, part in zip(weights, parts, strict=True):
        seen = seen + weight[:, None] * (attended @ _heads(part.values, heads))
    return rearrange(seen, "b p h q d -> b p q (h d)").to(q.dtype)


def _heads(x: Tensor, heads: int) -> Tensor:
    return rearrange(x, "... n (h d) -> ... h n d", h=heads)


def _norm(keys: Tensor) -> Tensor:
    """What ``RMSNorm`` divides keys (..., N, D) by, float32, (..., N)."""
    return (_product(keys, keys) + EPS).sqrt()


def _norm_of_mix(weights: list[Tensor], keys: list[Tensor]) -> Tensor:
    """The same of the mixes of keys (B, P, N, D), for weights (P, Q, 1): float32, (B, P, Q, N)."""
    return (sum(_squares(weights, keys)) + EPS).clamp_min(EPS).sqrt()


def _squares(weights: list[Tensor], keys: list[Tensor]) -> Iterator[Tensor]:
    """Terms of the mean square of a weighted sum."""
    for i, (weight, own) in enumerate(zip(weights, keys, strict=True)):
        yield weight**2 * _product(own, own)[:, :, None]
        for other, theirs in zip(weights[:i], keys[:i], strict=True):
            yield 2 * weight * other * _product(own, theirs)[:, :, None]


def _product(x: Tensor, y: Tensor) -> Tensor:
    """Mean over the width of the product of keys, float32, (B, P, N)."""
    return (x * y).sum(-1, dtype=torch.promote_types(x.dtype, torch.float32)) / x.shape[-1]
