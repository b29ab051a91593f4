"""Attention layers of the branches: queries and keys are normalised over their full width, then rotated.

Source: Wan (arXiv:2503.20314). Key names are the release's.
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
        self.attention, self.turn = backend.attention, backend.turn
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
        rotations: tuple[Tensor | None, Tensor | None] = (None, None),
        mask: Tensor | None = None,
        options: Any = None,
    ) -> Tensor:
        """Attend from ``tokens`` to ``context``.

        Args:
            tokens: Where queries come from, (B, N, D).
            context: Where keys and values come from, (B, M, context_dim).
            rotations: Of the queries and of the keys, (1 or B, N or M, 1, pairs, 2, 2); None leaves them unrotated.
            mask: Which keys count, bool, (B, M); None for all.
            options: Data of the host, handed to its attention function.

        Returns:
            Projected result, (B, N, D).
        """
        return self.o(self.attention(*self.project(tokens, context, rotations), self.heads, mask=mask, options=options))

    def project(
        self, tokens: Tensor, context: Tensor, rotations: tuple[Tensor | None, Tensor | None]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values as ``forward`` attends with them, each (B, N or M, D)."""
        q = self.q(tokens)
        q = self.turn(q, self.norm_q, rotations[0], self.heads, into=q)
        k = self.k(context)
        k = self.turn(k, self.norm_k, rotations[1], self.heads, into=k)
        return q, k, self.v(context)
