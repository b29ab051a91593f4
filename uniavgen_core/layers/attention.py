"""Attention layers of the branches: queries and keys are normalised over their full width, then rotated.

Source: Wan (arXiv:2503.20314). Key names are the release's.
Dimension key: B batch, N queries, M keys, D width.
"""

from typing import Any

from torch import Tensor, nn

from .backend import Backend
from .parts import by_parts, part_size
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

    def turn(self, x: Tensor, norm: nn.Module, rotation: Tensor | None, into: Tensor | None = None) -> Tensor:
        """Normalise and rotate projected queries or keys.

        Args:
            x: Queries or keys, (B, N, D).
            norm: Their norm.
            rotation: Their rotations, (N, pairs, 2) or (B, N, pairs, 2); None for none.
            into: Memory for the result where autograd does not look, for example ``x``; None for new memory.

        Returns:
            Turned queries or keys, (B, N, D).
        """

        def work(part: slice) -> Tensor:
            normed = norm(x[:, part])
            return normed if rotation is None else rotate(normed, rotation[..., part, :, :], self.heads)

        return by_parts(work, x.shape[1], part_size(x.shape[1]), into)


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
        return self.o(self.attention(*self.project(tokens, context, rotations), self.heads, mask=mask, options=options))

    def project(
        self, tokens: Tensor, context: Tensor, rotations: tuple[Tensor | None, Tensor | None]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values as ``forward`` attends with them, each (B, N or M, D)."""
        q, k = self.q(tokens), self.k(context)
        q, k = self.turn(q, self.norm_q, rotations[0], into=q), self.turn(k, self.norm_k, rotations[1], into=k)
        return q, k, self.v(context)
