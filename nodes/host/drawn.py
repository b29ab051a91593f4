"""Tells photographs from the drawn toons that the bundled model knows, by what its video codec makes of them.

Dimension key: F pictures, H and W pixel rows and columns.
"""

from typing import Any

from torch import Tensor

from ...uniavgen_core.media.resize import resize
from .codec import BundledVideoCodec

SIDE = 128
"""Pixels; the size the bundled codec was trained at."""
LARGEST_ERROR = 0.008
"""Between drawn toons, scaled, cropped and as JPEG (up to .0065), and photographs (from .009; of people, from .010)."""
PHOTOGRAPH = (
    "The picture does not look like one of the drawn toons, and the bundled model knows nothing else: what it "
    "generates will not fit the picture. Use 'UniAVGen Toon Portrait', or the released model with its codecs."
)


def notices_of_picture(video_codec: Any, pictures: Tensor | None) -> list[str]:
    """What to say of a picture of a person; nothing where the codec is not the bundled one.

    Args:
        video_codec: A video codec of ours.
        pictures: RGB in [0, 1], (F, H, W, 3), of which the first counts; None for none.
    """
    if pictures is None or not isinstance(video_codec, BundledVideoCodec):
        return []
    return [PHOTOGRAPH] if strangeness(video_codec, pictures[:1]) > LARGEST_ERROR else []


def strangeness(video_codec: Any, picture: Tensor) -> float:
    """Error of the codec on the middle of a picture, (1, H, W, 3).

    It is the square root of the mean square error, times the share that error has of the squared differences of
    neighbouring pixels. The error alone is small for smooth photographs too; the share alone for coarse ones.
    """
    height, width = picture.shape[1:3]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = resize(picture[:, top : top + side, left : left + side, :3], SIDE, SIDE)
    decoded = video_codec.decode(video_codec.encode(square)).to(square).reshape(square.shape)
    error = float((decoded - square).square().mean().detach())
    steps = sum(float(square.diff(dim=axis).square().mean()) for axis in (1, 2))
    return error**1.5 / max(steps, 1e-6)
