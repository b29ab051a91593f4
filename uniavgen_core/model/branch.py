"""One transformer branch; the video and the audio branch are two instances of these classes.

Source: Wan (arXiv:2503.20314); UniAVGen (arXiv:2511.03334), section 3.1.
Dimension key: B batch, T time steps (latent frames or mel frames, references included), N tokens per time step,
D width, L text tokens, C text features.
"""

from dataclasses import dataclass, replace
from math import ceil
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import BranchConfig
from ..layers.attention import EPS, Attention
from ..layers.backend import Backend
from ..layers.modulation import gated_add, spread
from ..layers.rope import sinusoid
from ..layers.token_chunks import LEAST_TOKENS, in_chunks, records_gradients

HIDDEN = 1.5
"""Most that the feed-forward's hidden activations take at once, in residual streams: less than attention takes."""


@dataclass(frozen=True)
class Stream:
    """The tokens of one branch between its layers, and the conditions that they meet in every layer.

    Where a part of a latent frame is kept, each token is a time step of its own. There are few different times, so the
    vectors are those of K times then, with a batch dimension of 1, and ``places`` says which of them each token has.

    Attributes:
        tokens: The residual stream, (B, T * N, D).
        temb: Time embedding of each time step, (B, T, D).
        modulation: Six projected modulation vectors of each time step, (B, T, 6, D).
        rope: Rotary table of the self-attention, (1, T * N, 1, pairs, 2, 2).
        text: Text tokens of the cross-attention, (B, L, D).
        text_ropes: Rotary tables of the cross-attention's queries and keys; (None, None) for none.
        text_mask: True for text tokens that count, bool, (B, L); None for all.
        num_reference: Tokens of a reference image or voice at the start of ``tokens``.
        places: Place of each token's time among the K times, (B, T * N); None for the T time steps in order.
    """

    tokens: Tensor
    temb: Tensor
    modulation: Tensor
    rope: Tensor
    text: Tensor
    text_ropes: tuple[Tensor | None, Tensor | None] = (None, None)
    text_mask: Tensor | None = None
    num_reference: int = 0
    places: Tensor | None = None

    @property
    def tokens_per_step(self) -> int:
        """Tokens N of one time step."""
        return 1 if self.places is not None else self.tokens.shape[1] // self.temb.shape[1]

    @property
    def clip_tokens(self) -> Tensor:
        """Tokens of the clip itself, after the reference."""
        return self.tokens[:, self.num_reference :]

    @property
    def clip_temb(self) -> tuple[Tensor, Tensor | None]:
        """Time embedding and places of the clip itself, without the reference's."""
        if self.places is not None:
            return self.temb, self.places[:, self.num_reference :]
        return self.temb[:, self.num_reference // self.tokens_per_step :], None

    def with_tokens(self, tokens: Tensor) -> "Stream":
        """The same stream with another residual."""
        return replace(self, tokens=tokens)

    def with_clip_tokens(self, tokens: Tensor) -> "Stream":
        """The same stream with other tokens of the clip itself; those of the reference stay."""
        if not self.num_reference:
            return self.with_tokens(tokens)
        return self.with_tokens(torch.cat((self.tokens[:, : self.num_reference], tokens), dim=1))


class Block(nn.Module):
    """Self-attention, text cross-attention and feed-forward; the first and the last are modulated by time."""

    def __init__(self, config: BranchConfig, backend: Backend) -> None:
        super().__init__()
        dim, ops = config.dim, backend.ops
        self.cast, self.repeatable, self.norm_modulate = backend.cast, backend.repeatable, backend.norm_modulate
        self.norm1 = ops.LayerNorm(dim, eps=EPS, elementwise_affine=False)
        self.self_attn = Attention(dim, dim, config.num_heads, backend)
        self.norm3 = ops.LayerNorm(dim, eps=EPS)
        self.cross_attn = Attention(dim, dim, config.num_heads, backend)
        self.norm2 = ops.LayerNorm(dim, eps=EPS, elementwise_affine=False)
        self.ffn_dim = config.ffn_dim
        self.ffn = nn.Sequential(ops.Linear(dim, config.ffn_dim), nn.GELU("tanh"), ops.Linear(config.ffn_dim, dim))
        self.modulation = nn.Parameter(torch.empty(1, 6, dim))

    def forward(self, stream: Stream, options: Any = None) -> Tensor:
        """Compute the residual stream after this block, (B, T * N, D)."""
        stream = stream.with_tokens(self.self_attention(stream, options))
        stream = stream.with_tokens(self.cross_attention(stream, options))
        return self.feed_forward(stream)

    def self_attention(self, stream: Stream, options: Any = None) -> Tensor:
        """Residual stream after the self-attention, (B, T * N, D)."""
        shift, scale, gate = self._modulation(stream, slice(0, 3))
        x = self.norm_modulate(stream.tokens, self.norm1, spread(shift, stream.places), spread(scale, stream.places))
        query_key_value = self.self_attn.project(x, x, (stream.rope, stream.rope))
        del x  # as large as the residual stream, and attention needs the memory
        attended = self.self_attn.attention(*query_key_value, self.self_attn.heads, options=options)
        del query_key_value
        return gated_add(stream.tokens, self.self_attn.o(attended), spread(gate, stream.places))

    def cross_attention(self, stream: Stream, options: Any = None) -> Tensor:
        """Residual stream after the cross-attention to the text, (B, T * N, D)."""
        return stream.tokens + self.cross_attn(
            self.norm3(stream.tokens), stream.text, stream.text_ropes, mask=stream.text_mask, options=options
        )

    def feed_forward(self, stream: Stream) -> Tensor:
        """Residual stream after the feed-forward, (B, T * N, D); a few time steps at a time where it can."""
        tokens, vectors, per_step = stream.tokens, self._modulation(stream, slice(3, 6)), stream.tokens_per_step

        def work(chunk: slice) -> Tensor:
            steps = slice(chunk.start // per_step, chunk.stop // per_step)
            shift, scale, gate = (_of_steps(each, stream.places, steps) for each in vectors)
            x = self.norm_modulate(tokens[:, chunk], self.norm2, shift, scale)
            return gated_add(tokens[:, chunk], self._ffn(x), gate)

        whole = records_gradients(tokens, *vectors, layers=self.ffn) or not self._is_repeatable(tokens)
        size = tokens.shape[1] if whole else self._ffn_steps(tokens, per_step) * per_step
        return in_chunks(work, tokens.shape[1], size)

    def _is_repeatable(self, tokens: Tensor) -> bool:
        return all(self.repeatable(layer, tokens) for layer in (self.ffn[0], self.ffn[2]))

    def _ffn_steps(self, tokens: Tensor, per_step: int) -> int:
        """Time steps of ``per_step`` tokens that the feed-forward takes at once."""
        steps = tokens.shape[1] // per_step
        most = max(LEAST_TOKENS, HIDDEN * tokens.shape[1] * tokens.shape[2] / self.ffn_dim) / per_step
        num_chunks = ceil(steps / max(1, int(most)))
        return ceil(steps / num_chunks)

    def _ffn(self, x: Tensor) -> Tensor:
        up_proj, gelu, down_proj = self.ffn
        hidden = up_proj(x)
        if hidden.requires_grad:
            return down_proj(gelu(hidden))
        return down_proj(torch.ops.aten.gelu_(hidden, approximate=gelu.approximate))  # halves the memory at the peak

    def _modulation(self, stream: Stream, which: slice) -> tuple[Tensor, ...]:
        """Some of the six modulation vectors, each (B, T, D), or (1, K, D) where the stream has places."""
        own = self.cast(self.modulation, stream.tokens)[:, None, which]
        return (own + stream.modulation[:, :, which]).unbind(2)


def _of_steps(vectors: Tensor, places: Tensor | None, steps: slice) -> Tensor:
    """Vectors of some time steps: from those of all, (B, T, D), or of K times and the steps' places among them."""
    return vectors[:, steps] if places is None else spread(vectors, places[:, steps])


class Head(nn.Module):
    """Time-modulated projection of tokens to outputs: the branches' heads, and the face mask's."""

    def __init__(self, dim: int, out_dim: int, backend: Backend) -> None:
        super().__init__()
        self.cast, self.norm_modulate = backend.cast, backend.norm_modulate
        self.norm = backend.ops.LayerNorm(dim, eps=EPS, elementwise_affine=False)
        self.head = backend.ops.Linear(dim, out_dim)
        self.modulation = nn.Parameter(torch.empty(1, 2, dim))

    def forward(self, tokens: Tensor, temb: Tensor, places: Tensor | None = None) -> Tensor:
        """Project tokens (B, T * N, D) to (B, T * N, out_dim) under the time embedding of a ``Stream``."""
        vectors = (self.cast(self.modulation, tokens)[:, None] + temb[:, :, None]).unbind(2)
        return self.head(self.norm_modulate(tokens, self.norm, *(spread(each, places) for each in vectors)))


def mlp(in_dim: int, dim: int, backend: Backend) -> nn.Sequential:
    """Layers from features, such as mel frames or a caption's, to tokens."""
    return nn.Sequential(backend.ops.Linear(in_dim, dim), nn.GELU("tanh"), backend.ops.Linear(dim, dim))


def time_embedding(time_dim: int, dim: int, backend: Backend) -> nn.Sequential:
    """Layers from sinusoidal time features to the time embedding."""
    return nn.Sequential(backend.ops.Linear(time_dim, dim), nn.SiLU(), backend.ops.Linear(dim, dim))


def time_projection(dim: int, backend: Backend) -> nn.Sequential:
    """Layers from the time embedding to the six modulation vectors."""
    return nn.Sequential(nn.SiLU(), backend.ops.Linear(dim, 6 * dim))


def embed_times(
    timestep: Tensor, time_dim: int, embedding: nn.Module, projection: nn.Module, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Embed one time per time step.

    Args:
        timestep: Times, 0..1000, (B, T).
        time_dim: Width of the sinusoidal features.
        embedding: Layers of ``time_embedding``.
        projection: Layers of ``time_projection``.
        dtype: Dtype of the residual stream.

    Returns:
        The time embedding, (B, T, D), and the modulation vectors, (B, T, 6, D).
    """
    temb = embedding(sinusoid(timestep, time_dim).to(dtype))
    return temb, projection(temb).unflatten(-1, (6, temb.shape[-1]))


def pad_text(features: Tensor, length: int) -> Tensor:
    """Cut text features (B, L, C) to ``length`` tokens, or fill them up with zeros."""
    return F.pad(features[:, :length], (0, 0, 0, max(0, length - features.shape[1])))
