"""Attention layers of the branches: queries and keys are normalised over their full width, then rotated.

Source: Wan (arXiv:2503.20314). Key names are the release's.
Dimension key: B batch, N queries, M keys, D width.
"""

from typing import Any

from torch import Tensor, nn

from .backend import Backend
from .rope import rotate

EPS = 1e-6


class AttentionLayers(nn.Module):
    """The layers of one attention: queries from one sequence, keys and values from another, an output projection."""

    def __init__(self, dim: int, context_dim: int, heads: int, backend: Backend) -> None:
        super().__init__()
        self.heads = heads
        self.attention = backend.attention
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
            rotations: Rotations of the queries and of the keys, (N or M, pairs, 2); None leaves them unrotated.
            mask: Which keys count, bool, (B, M); None for all.
            options: Data of the host, handed to its attention function.

        Returns:
            Projected result, (B, N, D).
        """
        q, k = self.norm_q(self.q(tokens)), self.norm_k(self.k(context))
        q, k = (x if r is None else rotate(x, r, self.heads) for x, r in zip((q, k), rotations, strict=True))
        return self.o(self.attention(q, k, self.v(context), self.heads, mask=mask, options=options))
