"""Vocodes long clips piece by piece, so that memory does not grow with their length.

Dimension key: B batch, M mel bins, F mel frames, N samples.
"""

from collections.abc import Callable
from itertools import pairwise
from math import ceil

import torch
from torch import Tensor

from ..shapes import HOP_LENGTH


def chunk_spans(num_frames: int, chunk_frames: int) -> list[tuple[int, int]]:
    """Cut a clip into the fewest spans of at most ``chunk_frames``, as equal in length as can be.

    Args:
        num_frames: Mel frames of the clip, at least 1.
        chunk_frames: Most frames of a span, at least 1.

    Returns:
        First frame and the frame after the last, of each span.
    """
    count = ceil(num_frames / chunk_frames)
    edges = [num_frames * number // count for number in range(count + 1)]
    return list(pairwise(edges))


def in_chunks(
    vocode: Callable[[Tensor], Tensor],
    log_mel: Tensor,
    chunk_frames: int,
    margin: int,
    after_chunk: Callable[[], object] = lambda: None,
) -> Tensor:
    """Vocode spans with their surroundings, and keep of each only what its surroundings cannot change.

    The result is that of one pass when ``margin`` is at least what a sample hears to either side.

    Args:
        vocode: Turns mel (B, M, F) into samples (B, 240 F).
        log_mel: The whole clip, (B, M, F).
        chunk_frames: Most mel frames made into sound at a time, at least 1.
        margin: Mel frames of surroundings on either side of a span; fewer at the ends of the clip.
        after_chunk: Called after each span.

    Returns:
        Samples, (B, 240 F).
    """
    num_frames = log_mel.shape[-1]
    pieces = []
    for start, end in chunk_spans(num_frames, chunk_frames):
        first, last = max(0, start - margin), min(num_frames, end + margin)
        samples = vocode(log_mel[..., first:last])
        pieces.append(samples[..., (start - first) * HOP_LENGTH : (end - first) * HOP_LENGTH])
        after_chunk()
    return torch.cat(pieces, dim=-1)
