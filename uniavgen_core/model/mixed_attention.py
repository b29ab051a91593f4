"""Attention to mixes of two latents, of which none is made.

Keys are linear in the latents but for their normalisation. So a mix scores the mix of what both latents' own keys
score, times their norms, over the norm of the mix, which follows from inner products; and what is seen of a mix is
the mix of what is seen of both.
Dimension key: B batch, P pairs of latents, Q query slots, T latents, N tokens per latent, H heads, D attention width.
"""

from dataclasses import dataclass
from math import ceil, sqrt

import torch
from einops import rearrange
from torch import Tensor

from ..layers.attention import EPS
from ..layers.token_chunks import LEAST, by_parts
from .alignment_tables import Mixes

PARTS = 2
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


@dataclass(frozen=True)
class Products:
    """Mean over the width of products of keys, float32.

    Attributes:
        latents: Of each latent's with themselves, (B, T, N).
        across: Of each latent's with those of nothing, (B, T, N).
        nothing: Of nothing's with themselves, (1, 1, N).
    """

    latents: Tensor
    across: Tensor
    nothing: Tensor


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
    queries = rearrange(q, "b p q (h d) -> b p h q d", h=heads)
    products = Products(
        latents=_product(latents.keys, latents.keys),
        across=_product(latents.keys, nothing.keys[:, None]),
        nothing=_product(nothing.keys, nothing.keys)[:, None],
    )

    def work(part: slice) -> Tensor:
        return _attend(queries[:, part], latents, nothing, products, mixes.some(part))

    seen = by_parts(work, num_pairs, max(ceil(num_pairs / PARTS), LEAST // num_tokens))
    return rearrange(seen, "b p h q d -> b p q (h d)")


def _attend(queries: Tensor, latents: Seen, nothing: Seen, products: Products, mixes: Mixes) -> Tensor:
    """What some pairs' queries (B, P, H, Q, D / H) see, shape of the queries."""
    heads, places = queries.shape[2], (mixes.low, mixes.high)
    weights = [weight[..., None] for weight in (mixes.low_weight, mixes.high_weight)]
    spare = 1 - weights[0] - weights[1]
    scores = rearrange(queries, "b p h q d -> b h (p q) d") @ _heads(nothing.turned, heads).mT
    scores = rearrange(scores, "b h (p q) n -> b p h q n", p=queries.shape[1])
    scores = spare[:, None] * (_norm(products.nothing)[:, :, None, None] * scores)
    for weight, place in zip(weights, places, strict=True):
        near = queries @ _take(latents.turned, place, heads).mT
        scores = scores + weight[:, None] * (_norm(products.latents[:, place])[:, :, None, None] * near)
    low, high = (latents.keys[:, place] for place in places)
    norm = _norm(_square_of_mix((*weights, spare), products, places, _product(low, high)))
    attended = (scores / norm[:, :, None] / sqrt(queries.shape[-1])).softmax(-1).to(queries.dtype)
    seen = spare[:, None] * _heads(nothing.values[:, :1], heads)
    for weight, place in zip(weights, places, strict=True):
        seen = seen + weight[:, None] * (attended @ _take(latents.values, place, heads))
    return seen.to(queries.dtype)


def _heads(x: Tensor, heads: int) -> Tensor:
    return rearrange(x, "... n (h d) -> ... h n d", h=heads)


def _take(x: Tensor, place: Tensor, heads: int) -> Tensor:
    """Heads of some of the latents (B, T, N, D), as matrix products read them, (B, P, H, N, D / H)."""
    return rearrange(x, "b t n (h d) -> b t h n d", h=heads).index_select(1, place)


def _norm(square: Tensor) -> Tensor:
    """What ``RMSNorm`` divides keys by, from their mean square."""
    return (square + EPS).clamp_min(EPS).sqrt()


def _square_of_mix(
    weights: tuple[Tensor, Tensor, Tensor], products: Products, places: tuple[Tensor, Tensor], cross: Tensor
) -> Tensor:
    """Mean square of the mixes of the keys of a pair and of nothing.

    Args:
        weights: Of the pair's low and high latent and of nothing, (P, Q, 1).
        products: Of keys with each other.
        places: Low and high latent of each pair, (P,).
        cross: Product of the keys of both, (B, P, N).

    Returns:
        Float32, (B, P, Q, N).
    """
    low, high, spare = weights
    own, beside = ([x[:, place, None] for place in places] for x in (products.latents, products.across))
    alone = low**2 * own[0] + high**2 * own[1] + spare**2 * products.nothing[:, :, None]
    return alone + 2 * (low * high * cross[:, :, None] + spare * (low * beside[0] + high * beside[1]))


def _product(x: Tensor, y: Tensor) -> Tensor:
    """Mean over the width of the product of keys, float32, (..., N)."""
    return (x * y).sum(-1, dtype=torch.promote_types(x.dtype, torch.float32)) / x.shape[-1]
