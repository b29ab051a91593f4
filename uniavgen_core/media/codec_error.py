"""Compensation of the codec's error next to kept frames, so that sharpness does not drop from one frame to the next.

A kept frame and the generated frame after it differ by motion and by the reconstruction error of the codec. The
generated clip contains its own version of the kept frame, so the error there is known. It is added to the following
generated frames, with falling weight, and only where the picture has not moved, because an edge added beside a moved
one would be a ghost. Where a kept frame and its generated version differ in more than fine detail, they show different
things, and nothing is added.

Dimension key: F video frames, H and W pixel rows and columns, C channels.
"""

from collections.abc import Callable
from math import cos, pi

import torch
import torch.nn.functional as F
from torch import Tensor

CARRY_SECONDS = 0.5
_MOVED = 0.08  # Mean colour change around a pixel at which the weight of the error falls to 1/e.
_AROUND = 3  # Radius of that mean, pixels.
_UNLIKE = 0.1  # Mean colour difference of a kept frame and its generated version at which the weight falls to 1/e.
_DETAIL = 4  # Radius of that mean, pixels of the generated clip; fine detail averages out over it.


def carry_over_joins(
    frames: Tensor, own: Tensor, version: Callable[[int], Tensor | None], fps: float, enlarged: float
) -> None:
    """Add the codec's error in kept frames to the generated frames next to them. Changes ``frames`` in place.

    Args:
        frames: Kept and generated frames in [0, 1], (F, H, W, 3); only generated ones change.
        own: Whether each frame is kept, (F,) bool.
        version: Function from a frame index to the generated version of that frame; None outside the generated clip.
        fps: Frame rate.
        enlarged: Scale factor from the size of the generated clip to that of ``frames``.
    """
    longest = max(1, round(CARRY_SECONDS * fps))
    for first, stop in _gaps(own):
        count = min(longest, stop - first)  # Fades as long as the gap add up to 1.
        for kept, step in ((first - 1, 1), (stop, -1)):
            if 0 <= kept < len(frames) and (generated := version(kept)) is not None:
                loss = _loss(frames[kept], generated, enlarged)
                for distance in range(1, count + 1):
                    number = kept + step * distance
                    weight = 0.5 + 0.5 * cos(pi * distance / (count + 1))
                    if (here := version(number)) is not None:
                        frames[number] += weight * _still(generated, here) * loss
        frames[first : first + count].clamp_(0, 1)
        frames[stop - count : stop].clamp_(0, 1)


def _loss(kept: Tensor, generated: Tensor, enlarged: float) -> Tensor:
    """Codec error of a kept frame (H, W, 3); zero where it shows something other than its generated version."""
    loss = kept - generated
    unlike = _average(loss, max(1, round(_DETAIL * enlarged))).abs().mean(-1, keepdim=True)
    return loss * torch.exp(-(unlike / _UNLIKE).square())


def _still(before: Tensor, after: Tensor) -> Tensor:
    """Weight of every pixel, 1 without change around it and towards 0 with more, (H, W, 1)."""
    change = _average((after - before).abs().mean(-1, keepdim=True), _AROUND)
    return torch.exp(-(change / _MOVED).square())


def _average(picture: Tensor, reach: int) -> Tensor:
    """Mean over a square of radius ``reach`` around every pixel of a picture (H, W, C)."""
    channels = F.pad(picture.movedim(-1, 0), (reach,) * 4, mode="replicate")
    rows = F.avg_pool2d(channels, (2 * reach + 1, 1), 1)
    return F.avg_pool2d(rows, (1, 2 * reach + 1), 1).movedim(0, -1)


def _gaps(own: Tensor) -> list[tuple[int, int]]:
    """Start and stop index of every run of generated frames."""
    edges = F.pad((~own).int(), (1, 1)).diff().nonzero().flatten().tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))
