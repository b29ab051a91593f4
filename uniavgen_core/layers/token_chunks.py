"""Work on each token alone, done on a chunk of a sequence at a time, so that intermediate tensors stay small.

Dimension key: B batch, L tokens, D width.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

MOST_CHUNKS = 8
"""Chunks of a sequence: with so many, the intermediate tensors of one hardly count."""
LEAST_TOKENS = 1024
"""Tokens in a chunk: fewer would not keep an accelerator busy."""


def chunk_size(length: int) -> int:
    """Tokens in a chunk of a sequence of ``length`` tokens."""
    return max(LEAST_TOKENS, -(-length // MOST_CHUNKS))


def in_chunks(work: Callable[[slice], Tensor], length: int, size: int, out: Tensor | None = None) -> Tensor:
    """Compute tokens chunk by chunk.

    Args:
        work: Computes a chunk, (B, tokens of the chunk, D).
        length: Tokens L of the result, (B, L, D).
        size: Tokens in a chunk.
        out: Tensor of the caller's own that chunks may be written into, (B, L, D); None for a new one. It may be what
            ``work`` reads, since a chunk is computed from no other chunk.
    """
    if size >= length:
        return work(slice(0, length))
    for start in range(0, length, size):
        span = slice(start, min(start + size, length))
        chunk = work(span)
        if out is None:
            out = chunk.new_empty((chunk.shape[0], length, *chunk.shape[2:]))
        out[:, span] = chunk
        del chunk  # frees its memory before the next one is computed
    assert out is not None, "a length has at least one chunk"
    return out


def records_gradients(*inputs: Tensor, layers: nn.Module | None = None) -> bool:
    """True if autograd records what ``layers`` compute from ``inputs``.

    Autograd then keeps the intermediate tensors, so that chunks save no memory, and no tensor may be overwritten.
    """
    if not torch.is_grad_enabled():
        return False
    weights = () if layers is None else layers.parameters()
    return any(tensor.requires_grad for tensor in (*inputs, *weights))
