"""Joining generated pixels into a user's own picture, with no seam.

Outside the region every pixel is the user's. The codec gives what it generates a slightly other colour than what was
there; the difference that shows around the region is continued into it, so that both sides meet. Pixels around it in
which the two pictures show different things, such as a blink and open eyes, hardly count.

Dimension key: F video frames, H rows, W columns.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

_COARSE = 8
"""Pixels of a side that share one value of the difference."""
_REACHES = (1, 2, 4, 8, 16, 32)
"""Half widths of the squares that the difference is averaged over, coarse pixels; a place takes the smallest that sees
enough of the user's picture."""
_SCALE, _ENOUGH = 0.08, 0.02
"""Scale of the Geman-McClure weights, a difference of channel values in [0, 1], and the least mean weight of a square
that is taken before the largest."""


def join_region(own: Tensor, generated: Tensor, region: Tensor) -> Tensor:
    """Put generated pixels into a region of a user's pictures.

    Args:
        own: The user's pictures in [0, 1], (F, H, W, 3).
        generated: Generated pictures of the same size, with their own version of what is around the region.
        region: Weight of the generated pictures in [0, 1], (F, H, W); soft edges blend.

    Returns:
        Pictures, (F, H, W, 3); where the weight is 0, the user's bit for bit.
    """
    weight = region[..., None].to(own)
    matched = (generated + _difference(own, generated, weight == 0)).clamp(0, 1)
    return torch.where(weight == 0, own, torch.lerp(own, matched, weight))


def _difference(own: Tensor, generated: Tensor, outside: Tensor) -> Tensor:
    """Smooth difference (F, H, W, 3) of two pictures where ``outside`` (F, H, W, 1), continued everywhere else.

    Pixels have the weights of a robust mean (Geman and McClure, 1985).
    """
    difference = own - generated
    known = outside / (1 + (difference.abs().amax(-1, keepdim=True) / _SCALE) ** 2) ** 2
    values = torch.cat((difference * known, known), -1).permute(0, 3, 1, 2)
    height, width = own.shape[1:3]
    sums = F.avg_pool2d(values, _COARSE, ceil_mode=True)
    found, missing = torch.zeros_like(sums[:, :3]), torch.ones_like(sums[:, 3:], dtype=torch.bool)
    for reach in _REACHES:
        near = F.avg_pool2d(sums, 2 * reach + 1, stride=1, padding=reach)
        seen = missing & (near[:, 3:] > (0 if reach == _REACHES[-1] else _ENOUGH))
        found = torch.where(seen, near[:, :3] / near[:, 3:].clamp_min(1e-9), found)
        missing &= ~seen
    smooth = F.avg_pool2d(F.pad(found, [1] * 4, mode="replicate"), 3, stride=1)
    whole = F.interpolate(smooth, scale_factor=_COARSE, mode="bilinear", align_corners=False)
    return whole[..., :height, :width].permute(0, 2, 3, 1)
