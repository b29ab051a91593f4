"""Processes that share sequences, and the one collective that they need: an all-to-all of pieces of any size.

Spans are half-open and count steps of a sequence, such as latents or mel frames.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import prod

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh

Span = tuple[int, int]


def even_spans(count: int, parts: int) -> tuple[Span, ...]:
    """Spans that divide ``count`` into parts which differ by at most one, the larger ones first."""
    size, larger = divmod(count, parts)
    starts = [number * size + min(number, larger) for number in range(parts + 1)]
    return tuple(pairwise(starts))


def overlap(one: Span, other: Span) -> Span:
    """The common part of two spans; an empty one begins within the first, or at an end of it."""
    first = min(max(one[0], other[0]), one[1])
    return first, max(first, min(one[1], other[1]))


def length(span: Span) -> int:
    """Steps in a span."""
    return span[1] - span[0]


class SequenceGroup:
    """The processes along one dimension of a mesh, seen from one of them.

    Attributes:
        rank: Number of this process.
        size: Number of processes.
    """

    def __init__(self, mesh: DeviceMesh) -> None:
        self.rank, self.size = mesh.get_local_rank(), mesh.size()
        self._group = mesh.get_group()

    def exchange(self, pieces: Sequence[Tensor], shapes: Sequence[Sequence[int]]) -> list[Tensor]:
        """Send a piece to every process and receive one from each.

        Args:
            pieces: Piece for each process, all of one dtype; a process keeps its own as it is.
            shapes: Shape of the piece from each process.

        Returns:
            Pieces by the number of the process that sent them.
        """
        sent = self._between([piece.numel() for piece in pieces])
        received = self._between([prod(shape) for shape in shapes])
        outgoing = torch.cat([piece.reshape(-1) for i, piece in enumerate(pieces) if i != self.rank])
        incoming = self.all_to_all(outgoing, received, sent).split(received)
        return [
            pieces[i] if i == self.rank else flat.view(*shape)
            for i, (flat, shape) in enumerate(zip(incoming, shapes, strict=True))
        ]

    def _between(self, counts: list[int]) -> list[int]:
        """Numbers of elements by process, none for this one, which keeps its own piece."""
        return [0 if i == self.rank else count for i, count in enumerate(counts)]

    def all_to_all(self, outgoing: Tensor, received: list[int], sent: list[int]) -> Tensor:
        """Exchange flat pieces; ``received`` and ``sent`` are their numbers of elements by process."""
        incoming = outgoing.new_empty(sum(received))
        dist.all_to_all_single(incoming, outgoing, received, sent, group=self._group)
        return incoming

    def fetch(self, x: Tensor, dim: int, owned: Sequence[Span], needed: Sequence[Span]) -> Tensor:
        """Complete this process's part of a sequence by what it needs of the others' parts.

        Args:
            x: The part that this process owns.
            dim: Dimension of the sequence's steps.
            owned: Span that each process owns, in order and without gaps.
            needed: Span that each process needs.

        Returns:
            The span that this process needs.
        """
        own, wanted = owned[self.rank], needed[self.rank]
        asked = [overlap(own, span) for span in needed]
        pieces = [x.narrow(dim, start - own[0], stop - start) for start, stop in asked]
        lengths = [length(overlap(span, wanted)) for span in owned]
        shapes = [(*x.shape[:dim], steps, *x.shape[dim + 1 :]) for steps in lengths]
        return torch.cat(self.exchange(pieces, shapes), dim)
