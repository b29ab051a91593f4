"""One transformer branch; the video and the audio branch are two instances of these classes.

Source: Wan (arXiv:2503.20314); UniAVGen (arXiv:2511.03334), section 3.1.
Dimension key: B batch, T time steps (latent frames or mel frames, references included), N tokens per time step,
D width, L text tokens.
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
from ..layers.embeddings import sinusoid
from ..layers.modulation import gated_add
from ..layers.token_chunks import LEAST, spans

PARTS = 3
"""Of a block: self-attention, text cross-attention, feed-forward."""
HIDDEN = 1.5
"""Most that the feed-forward's hidden activations take at once, in residual streams: less than attention takes."""


@dataclass(frozen=True)
class Stream:
    """What one branch carries through its layers.

    Attributes:
        tokens: The residual stream, (B, T * N, D).
        temb: Time embedding of each time step, (B, T, D).
        modulation: Six projected modulation vectors of each time step, (B, T, 6, D).
        rotation: Rotary table of the self-attention, (1, T * N, 1, pairs, 2, 2).
        text: Text tokens the branch reads, (B, L, D).
        text_rotations: Rotary tables of text queries and keys; (None, None) for none.
        text_mask: Which text tokens count, bool, (B, L); None for all.
    """

    tokens: Tensor
    temb: Tensor
    modulation: Tensor
    rotation: Tensor
    text: Tensor
    text_rotations: tuple[Tensor | None, Tensor | None] = (None, None)
    text_mask: Tensor | None = None

    def with_tokens(self, tokens: Tensor) -> "Stream":
        """The same stream with another residual."""
        return replace(self, tokens=tokens)


class Block(nn.Module):
    """Self-attention, text cross-attention and feed-forward; the first and the last are modulated by time."""

    def __init__(self, config: BranchConfig, backend: Backend) -> None:
        super().__init__()
        dim, ops = config.dim, backend.ops
        self.cast, self.repeatable, self.normalise = backend.cast, backend.repeatable, backend.normalise
        self.norm1 = ops.LayerNorm(dim, eps=EPS, elementwise_affine=False)
        self.self_attn = Attention(dim, dim, config.num_heads, backend)
        self.norm3 = ops.LayerNorm(dim, eps=EPS)
        self.cross_attn = Attention(dim, dim, config.num_heads, backend)
        self.norm2 = ops.LayerNorm(dim, eps=EPS, elementwise_affine=False)
        self.ffn_dim = config.ffn_dim
        self.ffn = nn.Sequential(ops.Linear(dim, config.ffn_dim), nn.GELU("tanh"), ops.Linear(config.ffn_dim, dim))
        self.modulation = nn.Parameter(torch.empty(1, 6, dim))

    def forward(self, stream: Stream, options: Any = None, parts: slice = slice(PARTS)) -> Tensor:
        """Compute the residual stream after this block, (B, T * N, D), or after some of its three parts."""
        for part in (self._attend, self._read, self._transform)[parts]:
            stream = stream.with_tokens(part(stream, options))
        return stream.tokens

    def _attend(self, stream: Stream, options: Any) -> Tensor:
        shift, scale, gate = self._modulation(stream, slice(3))
        heard = self.normalise(stream.tokens, self.norm1, shift, scale)
        heard = self.self_attn.project(heard, heard, (stream.rotation, stream.rotation))
        heard = self.self_attn.attention(*heard, self.self_attn.heads, options=options)  # lets go of what it was fed
        return gated_add(stream.tokens, self.self_attn.o(heard), gate)

    def _read(self, stream: Stream, options: Any) -> Tensor:
        return stream.tokens + self.cross_attn(
            self.norm3(stream.tokens), stream.text, stream.text_rotations, mask=stream.text_mask, options=options
        )

    def _transform(self, stream: Stream, options: Any) -> Tensor:
        del options
        shift, scale, gate = self._modulation(stream, slice(3, 6))
        tokens, steps = stream.tokens, shift.shape[1]
        if torch.is_grad_enabled():
            return gated_add(tokens, self._feed(tokens, shift, scale), gate)
        per_step = tokens.shape[1] // steps
        for part in spans(steps, self._feed_size(tokens, per_step)):
            some = tokens[:, part.start * per_step : part.stop * per_step]
            gated_add(some, self._feed(some, shift[:, part], scale[:, part]), gate[:, part], in_place=True)
        return tokens  # which the part before made, so that nobody else has them

    def _feed_size(self, tokens: Tensor, per_step: int) -> int:
        """Time steps of ``per_step`` tokens that the feed-forward takes at once."""
        widen, _, narrow = self.ffn
        steps = tokens.shape[1] // per_step
        if not all(self.repeatable(layer, tokens) for layer in (widen, narrow)):
            return steps
        most = max(LEAST, HIDDEN * tokens.shape[1] * tokens.shape[2] / self.ffn_dim) / per_step
        parts = ceil(steps / max(1, int(most)))
        return ceil(steps / parts)

    def _feed(self, tokens: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
        tokens = self.normalise(tokens, self.norm2, shift, scale)
        if torch.is_grad_enabled():
            return self.ffn(tokens)
        widen, bend, narrow = self.ffn
        return narrow(torch.ops.aten.gelu_(widen(tokens), approximate=bend.approximate))

    def _modulation(self, stream: Stream, which: slice) -> tuple[Tensor, ...]:
        """Some of the six modulation vectors, each (B, T, D)."""
        own = self.cast(self.modulation, stream.tokens)[:, None, which]
        return (own + stream.modulation[:, :, which]).unbind(2)


class Head(nn.Module):
    """Time-modulated projection of tokens to outputs: the branches' heads, and the face mask's."""

    def __init__(self, dim: int, out_dim: int, backend: Backend) -> None:
        super().__init__()
        self.cast, self.normalise = backend.cast, backend.normalise
        self.norm = backend.ops.LayerNorm(dim, eps=EPS, elementwise_affine=False)
        self.head = backend.ops.Linear(dim, out_dim)
        self.modulation = nn.Parameter(torch.empty(1, 2, dim))

    def forward(self, tokens: Tensor, temb: Tensor) -> Tensor:
        """Project tokens (B, T * N, D) under the time embedding (B, T, D) to (B, T * N, out_dim)."""
        shift, scale = (self.cast(self.modulation, tokens)[:, None] + temb[:, :, None]).unbind(2)
        return self.head(self.normalise(tokens, self.norm, shift, scale))


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
    """Cut or fill text features (B, L, C) with zeros to ``length`` tokens."""
    return F.pad(features[:, :length], (0, 0, 0, max(0, length - features.shape[1])))
