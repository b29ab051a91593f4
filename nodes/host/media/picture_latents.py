"""Encoding of pictures to latents of a clip's size.

Dimension key: F pictures, H and W pixel rows and columns, T video latents, h and w latent rows and columns.
"""

from typing import Any

from torch import Tensor

from ....uniavgen_core.media.video.frames import Fit, resize_frames

RGB = 3


def encode_pictures(video_codec: Any, pictures: Tensor, size: tuple[int, int], fit: str) -> Tensor:
    """Encode pictures as consecutive frames of a clip.

    Args:
        video_codec: VAE object from 'UniAVGen Load Video Codec'.
        pictures: RGB in [0, 1], (F, H, W, 3).
        size: Width and height of the clip, pixels, multiples of 16.
        fit: ``crop`` crops pictures to the clip's aspect ratio before resizing, ``stretch`` resizes them whole.

    Returns:
        Normalised latents, (1, 48, T, h, w).

    Raises:
        ValueError: If the pictures do not have three channels.
    """
    if pictures.ndim != 4 or pictures.shape[-1] != RGB:
        channels = pictures.shape[-1] if pictures.ndim else 0
        raise ValueError(
            f"The image has {channels} channels; it must have {RGB} (RGB). Remove its alpha channel, for example "
            "with the node 'Split Image with Alpha', or convert a grey one to RGB."
        )
    return video_codec.encode(resize_frames(pictures, *size, Fit(fit)))
