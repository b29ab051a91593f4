"""Attention to weighted sums of two latents, without computing the sums.

Keys are linear in the latents but for their RMS norm. A key of a mix therefore scores the weighted sum of the scores of
both latents' keys, each times its norm, over the norm of the mix, which follows from inner products; and the attended
value of a mix is the weighted sum of the attended values of both latents. The layers' biases enter once, whatever the
weights, so they have a weight of their own: one minus the weights of the latents.
Dimension key: B batch, P pairs of latents, Q query slots, T latents, N tokens per latent, H heads, D attention width.
"""

from dataclasses import dataclass
from math import ceil, sqrt

import torch
from einops import rearrange
from torch import Tensor

from ..layers.attention import EPS
from ..layers.token_chunks import LEAST_TOKENS, in_chunks, records_gradients
from .alignment_tables import LatentPairs

PAIR_CHUNKS = 2
"""Chunks of the pairs, because both latents of a pair are copied."""


@dataclass(frozen=True)
class LatentKeys:
    """Keys and values of latents.

    Attributes:
        keys: Projected keys, (B, T, N, D).
        rotated: The same keys, normalised and rotated.
        values: Projected values, (B, T, N, D).
    """

    keys: Tensor
    rotated: Tensor
    values: Tensor

    def unflatten(self, num_latents: int) -> "LatentKeys":
        """Give latents that were rows of the batch an axis of their own."""
        return LatentKeys(*(x.unflatten(0, (-1, num_latents)) for x in (self.keys, self.rotated, self.values)))


@dataclass(frozen=True)
class KeyProducts:
    """Means over the width of products of keys, float32.

    Attributes:
        latents: Of each latent's keys with themselves, (B, T, N).
        with_bias: Of each latent's keys with those of the biases, (B, T, N).
        bias_squared: Of the biases' keys with themselves, (1, 1, N).
    """

    latents: Tensor
    with_bias: Tensor
    bias_squared: Tensor


def attend_pairs(query: Tensor, latents: LatentKeys, bias: LatentKeys, pairs: LatentPairs, heads: int) -> Tensor:
    """Attend from each query to its own mix of two latents.

    Args:
        query: Queries, normalised, (B, P, Q, D).
        latents: Keys and values of the latents, (B, T, N, D).
        bias: Keys and values of a latent of zeros, (1, N, D).
        pairs: The pairs of latents, and how each query weighs them.
        heads: Number of heads H.

    Returns:
        Attended values, (B, P, Q, D).
    """
    num_pairs, num_tokens = query.shape[1], latents.keys.shape[2]
    queries = rearrange(query, "b p q (h d) -> b p h q d", h=heads)
    products = KeyProducts(
        latents=_product(latents.keys, latents.keys),
        with_bias=_product(latents.keys, bias.keys[:, None]),
        bias_squared=_product(bias.keys, bias.keys)[:, None],
    )

    def work(chunk: slice) -> Tensor:
        return _attend(queries[:, chunk], latents, bias, products, pairs.some(chunk))

    recorded = records_gradients(query, latents.keys, latents.values)
    size = num_pairs if recorded else max(ceil(num_pairs / PAIR_CHUNKS), LEAST_TOKENS // num_tokens)
    return rearrange(in_chunks(work, num_pairs, size), "b p h q d -> b p q (h d)")


def _attend(
    queries: Tensor, latents: LatentKeys, bias: LatentKeys, products: KeyProducts, pairs: LatentPairs
) -> Tensor:
    """Attended values of the queries (B, P, H, Q, D / H) of some pairs, shape of the queries."""
    heads, places = queries.shape[2], (pairs.low, pairs.high)
    weights = [weight[..., None] for weight in (pairs.low_weight, pairs.high_weight)]  # each (P, Q, 1)
    bias_weight = 1 - weights[0] - weights[1]
    scores = rearrange(queries, "b p h q d -> b h (p q) d") @ _heads(bias.rotated, heads).mT
    scores = rearrange(scores, "b h (p q) n -> b p h q n", p=queries.shape[1])
    scores = bias_weight[:, None] * (_norm(products.bias_squared)[:, :, None, None] * scores)
    for weight, place in zip(weights, places, strict=True):
        own_scores = queries @ _take(latents.rotated, place, heads).mT
        scores = scores + weight[:, None] * (_norm(products.latents[:, place])[:, :, None, None] * own_scores)
    low, high = (latents.keys[:, place] for place in places)
    norm = _norm(_square_of_mix((weights[0], weights[1], bias_weight), products, places, _product(low, high)))
    probabilities = (scores / norm[:, :, None] / sqrt(queries.shape[-1])).softmax(-1).to(queries.dtype)
    attended = bias_weight[:, None] * _heads(bias.values[:, :1], heads)
    for weight, place in zip(weights, places, strict=True):
        attended = attended + weight[:, None] * (probabilities @ _take(latents.values, place, heads))
    return attended.to(queries.dtype)


def _heads(x: Tensor, heads: int) -> Tensor:
    return rearrange(x, "... n (h d) -> ... h n d", h=heads)


def _take(x: Tensor, place: Tensor, heads: int) -> Tensor:
    """Heads of some of the latents (B, T, N, D), as matrix products read them, (B, P, H, N, D / H)."""
    return rearrange(x, "b t n (h d) -> b t h n d", h=heads).index_select(1, place)


def _norm(square: Tensor) -> Tensor:
    """Divisor of ``RMSNorm``, from the mean square of its input."""
    return (square + EPS).clamp_min(EPS).sqrt()


def _square_of_mix(
    weights: tuple[Tensor, Tensor, Tensor], products: KeyProducts, places: tuple[Tensor, Tensor], cross: Tensor
) -> Tensor:
    """Mean square of the keys of mixes, (B, P, Q, N), by the weights (P, Q, 1) of low, high and biases."""
    low, high, bias = weights
    own, with_bias = ([x[:, place, None] for place in places] for x in (products.latents, products.with_bias))
    squares = low**2 * own[0] + high**2 * own[1] + bias**2 * products.bias_squared[:, :, None]
    return squares + 2 * (low * high * cross[:, :, None] + bias * (low * with_bias[0] + high * with_bias[1]))


def _product(x: Tensor, y: Tensor) -> Tensor:
    """Mean over the width of the product of keys, float32, (..., N)."""
    return (x * y).sum(-1, dtype=torch.promote_types(x.dtype, torch.float32)) / x.shape[-1]
