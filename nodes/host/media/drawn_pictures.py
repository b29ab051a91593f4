"""Detection of photographs, which the bundled model was not trained on, by the error of its video VAE.

Dimension key: F pictures, H and W pixel rows and columns.
"""

from typing import Any

import torch
from torch import Tensor

from ....uniavgen_core.media.video.frames import resize
from .vaes import BundledVideoVAE

SIDE = 128
"""Side of the pictures that the bundled VAE was trained on, pixels."""
LARGEST_ERROR, LARGEST_OF_DRAWINGS = 0.008, 0.02
"""Largest scaled errors of drawn toons, in general and for pictures with the even, coloured areas of drawings.

Drawn toons reach 0.0075, also as JPEG, and people in videos start at 0.010. Toons that are scaled, cropped or on a wide
background reach 0.017.
"""
EVEN, EVEN_SHARE, LEAST_COLOUR = 4 / 255, 0.65, 0.03
"""Thresholds for drawings: difference of even neighbouring pixels, share of such pixels, and mean colourfulness."""
PHOTOGRAPH = (
    "The image does not look like one of the drawn toons, and the bundled model knows nothing else, so the result "
    "will not match the image. Use 'UniAVGen Toon Portrait', or the official weights with their VAEs."
)


def photograph_notices(video_vae: Any, pictures: Tensor | None) -> list[str]:
    """Notice about a picture that the bundled model was not trained on; none for other models.

    Args:
        video_vae: VAE object from 'UniAVGen Load Video VAE'.
        pictures: RGB in [0, 1], (F, H, W, 3), of which the first is checked; None for none.
    """
    if pictures is None or not isinstance(video_vae, BundledVideoVAE):
        return []
    return [PHOTOGRAPH] if photograph_score(video_vae, pictures[:1]) > 1 else []


def photograph_score(video_vae: Any, picture: Tensor) -> float:
    """Error of the VAE on the centre square of a picture (1, H, W, 3), relative to the largest of a drawn toon.

    The error is the product of two terms: the root mean square error, which alone is small for smooth photographs, and
    the ratio of the mean square error to the mean squared difference of neighbouring pixels, which alone is small for
    photographs with fine detail.
    """
    height, width = picture.shape[1:3]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = resize(picture[:, top : top + side, left : left + side], SIDE, SIDE)
    decoded = video_vae.decode(video_vae.encode(square)).to(square).reshape(square.shape)
    error = float((decoded - square).square().mean().detach())
    across, down = square.diff(dim=2), square.diff(dim=1)
    steps = max(float(across.square().mean() + down.square().mean()), 1e-6)
    largest = torch.maximum(across[:, 1:].abs(), down[:, :, 1:].abs()).amax(dim=-1)
    is_even = (largest < EVEN).float().mean() > EVEN_SHARE
    is_coloured = (square.amax(dim=-1) - square.amin(dim=-1)).mean() > LEAST_COLOUR
    return error**1.5 / steps / (LARGEST_OF_DRAWINGS if is_even and is_coloured else LARGEST_ERROR)
