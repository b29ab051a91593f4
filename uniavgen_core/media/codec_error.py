"""Carrying the codec's error over a join, so that crisp frames do not turn soft from one frame to the next.

A kept frame and the frame generated after it differ by what moved, and by what the codec loses. The generated clip has
its own version of the kept frame, so the loss is known there: it is added to the next generated frames too, ever less,
and only where the picture has not moved since, because a carried edge beside a moved one would be a ghost. Where kept
frame and version differ in more than fine detail they show different things, and nothing is carried.

Dimension key: F video frames, H and W pixel rows and columns, K frames that the loss is carried over.
"""

from collections.abc import Callable
from math import cos, pi

import torch
import torch.nn.functional as F
from torch import Tensor

CARRY_SECONDS = 0.5
_MOVED = 0.08  # Mean change of the colours around a pixel at which 1/e of the loss is still carried.
_AROUND = 3  # Pixels on every side.
_UNLIKE = 0.1  # Mean difference of the colours of kept frame and version at which 1/e of the loss is carried.
_DETAIL = 4  # Pixels of the generated clip on every side, over which fine detail averages out.

Version = Callable[[int], Tensor | None]
"""The generated version (H, W, 3) of the frame of a number; None where the generated clip does not reach."""


def carry_over_joins(frames: Tensor, own: Tensor, version: Version, fps: float, enlarged: float = 1.0) -> None:
    """Add, to generated frames next to kept ones, what the codec loses of those. Changes ``frames`` in place.

    Args:
        frames: Kept and generated frames in [0, 1], (F, H, W, 3); only generated ones change.
        own: Which are kept, (F,) bool.
        version: Gives the generated version of a frame, kept or not.
        fps: Rate of the frames.
        enlarged: How many times as large as generated the generated frames are shown.
    """
    longest = max(1, round(CARRY_SECONDS * fps))
    for first, stop in _gaps(own):
        count = min(longest, stop - first)  # with fades as long as the gap, those of both sides add up to 1
        for kept, step in ((first - 1, 1), (stop, -1)):
            if 0 <= kept < len(frames) and (generated := version(kept)) is not None:
                loss = _loss(frames[kept], generated, enlarged)
                for distance in range(1, count + 1):
                    number = kept + step * distance
                    weight = 0.5 + 0.5 * cos(pi * distance / (count + 1))
                    frames[number] += weight * _still(generated, version(number)) * loss
        frames[first : first + count].clamp_(0, 1)
        frames[stop - count : stop].clamp_(0, 1)


def _loss(kept: Tensor, generated: Tensor, enlarged: float) -> Tensor:
    """Loss of a frame (H, W, 3) in the codec, and nothing where it shows something else than its version."""
    loss = kept - generated
    unlike = _average(loss, max(1, round(_DETAIL * enlarged))).abs().mean(-1, keepdim=True)
    return loss * torch.exp(-(unlike / _UNLIKE).square())


def _still(before: Tensor, after: Tensor) -> Tensor:
    """Stillness of the picture (H, W, 3) around every pixel, from 1 for no change towards 0, (H, W, 1)."""
    change = _average((after - before).abs().mean(-1, keepdim=True), _AROUND)
    return torch.exp(-(change / _MOVED).square())


def _average(picture: Tensor, reach: int) -> Tensor:
    """Mean over a square around every pixel of a picture (H, W, C)."""
    channels = F.pad(picture.movedim(-1, 0), (reach,) * 4, mode="replicate")
    rows = F.avg_pool2d(channels, (2 * reach + 1, 1), 1)
    return F.avg_pool2d(rows, (1, 2 * reach + 1), 1).movedim(0, -1)


def _gaps(own: Tensor) -> list[tuple[int, int]]:
    """First frame of every run of generated ones, and the one after its last."""
    edges = F.pad((~own).int(), (1, 1)).diff().nonzero().flatten().tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))
