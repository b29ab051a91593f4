"""Masks drawn on pictures as weights of latent pixels.

Source: UniAVGen (arXiv:2511.03334), section 3.3: a latent shows a face if any of its frames does, and a token's weight
is the share of its area.
Dimension key: F video frames, H and W pixel rows and columns, T latent frames, h and w latent rows and columns.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..shapes import TEMPORAL_FACTOR, video_frames_of


def to_latent_mask(mask: Tensor, latent_size: tuple[int, int, int]) -> Tensor:
    """Bring a mask to the size of a clip's latents.

    Args:
        mask: Weights in [0, 1], (F, H, W); one mask stands for all frames, another number is spread evenly over time.
        latent_size: Latent frames T, rows h and columns w.

    Returns:
        Weights, float32, (T, h, w): the largest of a latent's frames, averaged over each latent pixel.

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
