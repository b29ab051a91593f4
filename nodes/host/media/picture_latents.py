"""Encoding of pictures to latents of a clip's size.

Dimension key: F pictures, H and W pixel rows and columns, T video latents, h and w latent rows and columns.
"""

from typing import Any

from torch import Tensor

from ....uniavgen_core.media.video.frames import Fit, resize_frames
from ....uniavgen_core.shapes import LATENT_CHANNELS, SPATIAL_FACTOR, latent_frames_of

RGB = 3


def encode_pictures(video_codec: Any, pictures: Tensor, size: tuple[int, int], fit: str) -> Tensor:
    """Encode pictures as consecutive frames of a clip.

    Args:
        video_codec: VAE object from 'UniAVGen Load Video Codec'.
        pictures: RGB in [0, 1], (F, H, W, 3).
        size: Width and height of the clip, pixels.
        fit: ``crop`` crops pictures to the clip's aspect ratio before resizing, ``stretch`` resizes them whole.

    Returns:
        Normalised latents, (1, 48, T, h, w).

    Raises:
        ValueError: If the pictures do not have three channels, or the codec's latents do not fit the model.
    """
    if pictures.ndim != 4 or pictures.shape[-1] != RGB:
        channels = pictures.shape[-1] if pictures.ndim else 0
        raise ValueError(
            f"The image has {channels} channels; it must have {RGB} (RGB). Remove its alpha channel, for example "
            "with the node 'Split Image with Alpha', or convert a grey one to RGB."
        )
    clean = video_codec.encode(resize_frames(pictures, *size, Fit(fit)))
    rows, columns = (side // SPATIAL_FACTOR for side in reversed(size))
    expected = (LATENT_CHANNELS, latent_frames_of(len(pictures)), rows, columns)
    if clean.shape[1:] != expected:
        raise ValueError(
            f"The video codec gives latents of shape {tuple(clean.shape[1:])}, the clip needs {expected}. Load the "
            "codec with 'UniAVGen Load Video Codec'."
        )
    return clean
