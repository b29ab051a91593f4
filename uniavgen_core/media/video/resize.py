"""Resizing of reference pictures to sizes that the network accepts.

Source: the UniAVGen release, without its rounding error: it divides twice in floating point and resizes some short
sides (740, 769, 999, ...) to 768 instead of 736.
Dimension key: B batch, H rows, W columns.
"""

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ...shapes import SIZE_MULTIPLE

SHORT_SIDE = 736


def fit_size(width: int, height: int, short_side: int = SHORT_SIDE) -> tuple[int, int]:
    """Width and height of the video that is generated for a picture of this width and height, pixels.

    The shorter side is ``short_side``, the other in proportion, rounded up to a multiple of 32.

    Raises:
        ValueError: If a side is not positive, or ``short_side`` not a positive multiple of 32.
    """
    if width < 1 or height < 1:
        raise ValueError(f"The picture is {width} x {height} pixels; both sides must be positive.")
    if short_side < SIZE_MULTIPLE or short_side % SIZE_MULTIPLE:
        raise ValueError(f"short_side is {short_side}; it must be a positive multiple of {SIZE_MULTIPLE}.")
    shorter, longer = sorted((width, height))
    long_side = -(-longer * short_side // (shorter * SIZE_MULTIPLE)) * SIZE_MULTIPLE
    return (short_side, long_side) if width < height else (long_side, short_side)


def resize(pictures: Tensor, width: int, height: int) -> Tensor:
    """Stretch RGB in [0, 1], (B, H, W, 3), to a size in float32, through 8 bits a colour as in the release.

    Raises:
        ValueError: If the pictures are not (B, H, W, 3) with a pixel and finite, or the size is not positive.

    Source: Pillow's bilinear filter, which averages when it shrinks.
    """
    if pictures.ndim != 4 or pictures.shape[-1] != 3 or pictures.numel() == 0:
        raise ValueError(f"Pictures of shape {tuple(pictures.shape)} cannot be resized; expected RGB, (B, H, W, 3).")
    if width < 1 or height < 1:
        raise ValueError(f"The new size is {width} x {height} pixels; both sides must be positive.")
    resized = torch.empty((len(pictures), height, width, 3), device=pictures.device)
    for picture, into in zip(pictures, resized, strict=True):  # One by one, so that a video is not copied twice.
        if not torch.isfinite(picture).all():
            raise ValueError("The pictures hold values that are not finite.")
        levels = (picture.float().clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
        smaller = Image.fromarray(levels).resize((width, height), Image.Resampling.BILINEAR)
        into[:] = torch.from_numpy(np.array(smaller)) / 255
    return resized
