"""Tells photographs from the drawn toons that the bundled model knows, by what its video codec makes of them.

Dimension key: F pictures, H and W pixel rows and columns.
"""

from typing import Any

import torch
from torch import Tensor

from ....uniavgen_core.media.video.resize import resize
from .codecs import BundledVideoCodec

SIDE = 128
"""Pixels; the size the bundled codec was trained at."""
LARGEST_ERROR, LARGEST_OF_DRAWINGS = 0.008, 0.02
"""Drawn toons reach .0075, as JPEG too, and people in videos begin at .010. Toons that are scaled, cropped or on a wide
background reach .017, but they keep the even, coloured areas of drawings."""
EVEN, EVEN_SHARE, LEAST_COLOUR = 4 / 255, 0.65, 0.03
"""A drawing has so large a share of pixels whose neighbours differ by less, and is not grey."""
PHOTOGRAPH = (
    "The picture does not look like one of the drawn toons, and the bundled model knows nothing else: what it "
    "generates will not fit the picture. Use 'UniAVGen Toon Portrait', or the released model with its codecs."
)


def photograph_notices(video_codec: Any, pictures: Tensor | None) -> list[str]:
    """Notices about a picture of a person; none where the codec is not the bundled one.

    Args:
        video_codec: A video codec of ours.
        pictures: RGB in [0, 1], (F, H, W, 3), of which the first counts; None for none.
    """
    if pictures is None or not isinstance(video_codec, BundledVideoCodec):
        return []
    return [PHOTOGRAPH] if photograph_score(video_codec, pictures[:1]) > 1 else []


def photograph_score(video_codec: Any, picture: Tensor) -> float:
    """Error of the codec on the middle of a picture (1, H, W, 3), in units of the largest that a drawn toon has.

    The error is the root of the mean square error, times the share that square has of the squared differences of
    neighbouring pixels: the one alone is small for smooth photographs, the other for rough ones.
    """
    height, width = picture.shape[1:3]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = resize(picture[:, top : top + side, left : left + side], SIDE, SIDE)
    decoded = video_codec.decode(video_codec.encode(square)).to(square).reshape(square.shape)
    error = float((decoded - square).square().mean().detach())
    across, down = square.diff(dim=2), square.diff(dim=1)
    steps = max(float(across.square().mean() + down.square().mean()), 1e-6)
    largest = torch.maximum(across[:, 1:].abs(), down[:, :, 1:].abs()).amax(dim=-1)
    is_even = (largest < EVEN).float().mean() > EVEN_SHARE
    is_coloured = (square.amax(dim=-1) - square.amin(dim=-1)).mean() > LEAST_COLOUR
    return error**1.5 / steps / (LARGEST_OF_DRAWINGS if is_even and is_coloured else LARGEST_ERROR)
