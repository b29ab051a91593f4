"""Colours for previews while sampling: the linear map from a latent to the mean colour of the pixels it covers.

Dimension key: B batch, C latent channels, T latent frames, h and w latent rows and columns.
"""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from uniavgen_core.bundled.video_codec import VideoCodec
from uniavgen_core.media.video.frames import codec_pixels
from uniavgen_core.shapes import SPATIAL_FACTOR

from ..clips.clip import make_clip

RIDGE = 1e-2
TOONS = 32


def fit_preview(codec: VideoCodec, latents: Tensor) -> dict[str, list]:
    """Fit the colours to what the codec makes of some first frames.

    Args:
        codec: The video codec.
        latents: Normalised latents, (B, C, T, h, w); their first frames are used.

    Returns:
        The map to RGB in [-1, 1] as ComfyUI's latent formats hold it: ``factors`` of each channel, C rows of three, and
        ``bias``, the colour of zeros. Least squares with a little ridge, because neighbouring latents overlap.
    """
    with torch.no_grad():
        frames = codec.decode(latents[:, :, :1])[:, :, 0]
    colours = rearrange(F.avg_pool2d(frames, SPATIAL_FACTOR), "b c h w -> (b h w) c").double()
    inputs = rearrange(latents[:, :, 0], "b c h w -> (b h w) c").double()
    inputs = torch.cat((inputs, torch.ones_like(inputs[:, :1])), dim=1)
    ridge = RIDGE * len(inputs) * torch.eye(inputs.shape[1], dtype=torch.float64)
    fitted = torch.linalg.solve(inputs.T @ inputs + ridge, inputs.T @ colours)
    rounded = [[round(value, 5) for value in row] for row in fitted.tolist()]
    return {"factors": rounded[:-1], "bias": rounded[-1]}


def preview_of_toons(codec: VideoCodec) -> dict[str, list]:
    """Fit the colours to the first frames of some toons."""
    pictures = torch.cat([codec_pixels(make_clip(seed).frames[:1]) for seed in range(TOONS)])
    with torch.no_grad():
        return fit_preview(codec, codec.encode(pictures))
