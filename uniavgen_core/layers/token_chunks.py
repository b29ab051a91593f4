"""Work on each token alone, done a part of a sequence at a time, so that what is made on the way stays small.

Dimension key: B batch, L tokens, D width.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

MOST = 8
"""Parts of a sequence: enough that what one of them needs hardly counts."""
LEAST = 1024
"""Tokens in a part: fewer would not keep an accelerator busy."""


def part_size(length: int) -> int:
    """Tokens in a part of a sequence of ``length`` tokens."""
    return max(LEAST, -(-length // MOST))


def spans(length: int, size: int) -> Iterator[slice]:
    """Yield the parts of a sequence, ``size`` tokens each but the last."""
    for start in range(0, length, size):
        yield slice(start, min(start + size, length))


def by_parts(work: Callable[[slice], Tensor], length: int, size: int, into: Tensor | None = None) -> Tensor:
    """Compute tokens part by part; whole for autograd, which keeps what is made on the way in any case.

    Args:
        work: Computes a part, (B, tokens of the part, D).
        length: Tokens L.
        size: Tokens in a part.
        into: Where parts may be put, (B, L, D), as a part is computed from no other part of it; None for new memory.

    Returns:
        All tokens, (B, L, D).
    """
    if torch.is_grad_enabled() or size >= length:
        return work(slice(0, length))
    whole = into
    for span in spans(length, size):
        part = work(span)
        if whole is None:
            whole = part.new_empty((part.shape[0], length, *part.shape[2:]))
        whole[:, span] = part
    return whole
