"""Conversion of pixel masks to weights of latent pixels.

Source: UniAVGen (arXiv:2511.03334), section 3.3: a latent frame shows a face if any of its video frames does, and a
token's weight is the covered share of its area.
Dimension key: F video frames, H and W pixel rows and columns, T latent frames, h and w latent rows and columns.
"""

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from ...shapes import SPATIAL_FACTOR, TEMPORAL_FACTOR, video_frames_of


def to_latent_mask(mask: Tensor, latent_size: tuple[int, int, int]) -> Tensor:
    """Resize a mask to the latents of a clip.

    Args:
        mask: Weights in [0, 1], (F, H, W). One frame applies to all; any other number is spread evenly over time.
        latent_size: Latent frames T, rows h and columns w.

    Returns:
        Weights, float32, (T, h, w): the mean over each latent pixel, and the maximum over the video frames of a latent.

    Raises:
        ValueError: If the mask is not (F, H, W) with a pixel, or not finite.
    """
    if mask.ndim != 3 or mask.numel() == 0:
        raise ValueError(f"The mask has shape {tuple(mask.shape)}; it must be (frames, height, width).")
    if not torch.isfinite(mask).all():
        raise ValueError("The mask holds values that are not finite.")
    latent_frames, *size = latent_size
    frames = video_frames_of(latent_frames)
    index = torch.div(torch.arange(frames, device=mask.device) * len(mask), frames, rounding_mode="floor")
    small = F.interpolate(mask[:, None].float().clamp(0, 1), size=size, mode="area")[index, 0]
    later = small[1:].unflatten(0, (latent_frames - 1, TEMPORAL_FACTOR)).amax(dim=1)
    return torch.cat((small[:1], later))


def to_chunks(frames: Tensor) -> Tensor:
    """Group frames (B, 3, F, H, W) by latent frame, (B, T, 4, 3, H, W).

    The first frame makes a group of its own, and the last is repeated to fill its group.
    """
    missing = -(frames.shape[2] - 1) % TEMPORAL_FACTOR
    first, last = frames[:, :, :1], frames[:, :, -1:]
    padded = torch.cat(
        [first.expand(-1, -1, TEMPORAL_FACTOR - 1, -1, -1), frames, last.expand(-1, -1, missing, -1, -1)], 2
    )
    return rearrange(padded, "b c (t p) h w -> b t p c h w", p=TEMPORAL_FACTOR)


def latent_shares(masks: np.ndarray) -> np.ndarray:
    """Share of each latent pixel that masks (F, H, W), nonzero inside, cover at any frame of it, float16, (T, h, w)."""
    inside = torch.from_numpy((masks > 0).astype(np.float32))[None, None]
    any_frame = to_chunks(inside)[0, :, :, 0].amax(1)
    return F.avg_pool2d(any_frame, SPATIAL_FACTOR).numpy().astype(np.float16)
