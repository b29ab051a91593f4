"""Attention of the branches: queries and keys are RMS-normalised over their full width, then rotated.

Source: Wan (arXiv:2503.20314). Attribute names are the release's checkpoint keys.
Dimension key: B batch, N queries, M keys, D width.
"""

from typing import Any

from torch import Tensor, nn

from .backend import Backend

EPS = 1e-6


class AttentionLayers(nn.Module):
    """The layers of one attention: queries from one sequence, keys and values from another, an output projection."""

    def __init__(self, dim: int, context_dim: int, heads: int, backend: Backend) -> None:
        super().__init__()
        self.heads = heads
        self.attention, self.norm_rope = backend.attention, backend.norm_rope
        self.q = backend.ops.Linear(dim, dim)
        self.k = backend.ops.Linear(context_dim, dim)
        self.v = backend.ops.Linear(context_dim, dim)
        self.o = backend.ops.Linear(dim, dim)
        self.norm_q = backend.ops.RMSNorm(dim, eps=EPS)
        self.norm_k = backend.ops.RMSNorm(dim, eps=EPS)


class Attention(AttentionLayers):
    """Multi-head attention with RMS-normalised queries and keys."""

    def forward(
        self,
        tokens: Tensor,
        context: Tensor,
        ropes: tuple[Tensor | None, Tensor | None] = (None, None),
        mask: Tensor | None = None,
        options: Any = None,
    ) -> Tensor:
        """Attend from ``tokens`` (B, N, D) to ``context`` (B, M, context_dim), to (B, N, D).

        Args:
            tokens: Source of the queries.
            context: Source of the keys and values.
            ropes: Rotary tables of the queries and of the keys, (1 or B, N or M, 1, pairs, 2, 2); None for none.
            mask: True for keys that count, bool, (B, M); None for all.
            options: Options of the host, passed on to its attention function.
        """
        return self.o(self.attention(*self.project(tokens, context, ropes), self.heads, mask=mask, options=options))

    def project(
        self, tokens: Tensor, context: Tensor, ropes: tuple[Tensor | None, Tensor | None]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of ``forward``, each (B, N or M, D)."""
        query = self.q(tokens)
        query = self.norm_rope(query, self.norm_q, ropes[0], self.heads, out=query)
        key = self.k(context)
        key = self.norm_rope(key, self.norm_k, ropes[1], self.heads, out=key)
        return query, key, self.v(context)
