"""Joint latents in ComfyUI's form: a NestedTensor of video (B, 48, T, H, W) and audio (B, K, S, 80).

Both are already normalised, so that samplers, which see them packed into one row, need not tell them apart.
Dimension key: B batch, K audio tracks, T video latents, H and W latent rows and columns, S mel frames.
"""

from math import isfinite
from typing import Any

import comfy.latent_formats
import torch
from comfy.nested_tensor import NestedTensor
from torch import Tensor

from ....uniavgen_core.checkpoint.checked_files import CheckpointError, parse_object
from ....uniavgen_core.checkpoint.config_from_weights import PREVIEW_KEY
from ....uniavgen_core.shapes import LATENT_CHANNELS, MEL_BINS, SPATIAL_FACTOR, TEMPORAL_FACTOR, AVShape

VIDEO_DIMS, AUDIO_DIMS = 5, 4


class JointLatentFormat(comfy.latent_formats.LatentFormat):
    """Passes latents through unchanged; previews use the Wan2.2 VAE's colours unless a checkpoint brings its own."""

    latent_channels = LATENT_CHANNELS
    latent_dimensions = 3
    spacial_downscale_ratio = SPATIAL_FACTOR
    temporal_downscale_ratio = TEMPORAL_FACTOR
    latent_rgb_factors = comfy.latent_formats.Wan22.latent_rgb_factors
    latent_rgb_factors_bias = comfy.latent_formats.Wan22.latent_rgb_factors_bias

    def use_colours(self, factors: list[list[float]], bias: list[float]) -> None:
        """Preview with other colours: red, green and blue of each latent channel, and of a latent of zeros."""
        self.latent_rgb_factors, self.latent_rgb_factors_bias = factors, bias

    def process_in(self, latent: Tensor) -> Tensor:
        return latent

    def process_out(self, latent: Tensor) -> Tensor:
        return latent


class VideoLatentFormat(JointLatentFormat):
    """Takes plain video latents raw, as ComfyUI's Wan2.2 has them, and joint ones, packed or nested, as they are."""

    taesd_decoder_name = comfy.latent_formats.Wan22().taesd_decoder_name
    wan = comfy.latent_formats.Wan22()

    def process_in(self, latent: Tensor) -> Tensor:
        """Normalise a plain video latent (B, 48, T, H, W)."""
        return self.wan.process_in(latent) if _is_plain(latent) else latent

    def process_out(self, latent: Tensor) -> Tensor:
        """Undo ``process_in``."""
        return self.wan.process_out(latent) if _is_plain(latent) else latent


def preview_colours(text: str) -> tuple[list[list[float]], list[float]]:
    """Parse a checkpoint's preview colours.

    Args:
        text: JSON of ``factors``, red, green and blue of each latent channel, and ``bias``, of a latent of zeros.

    Raises:
        CheckpointError: If it is not that.
    """
    subject = f"The file's metadata entry {PREVIEW_KEY}"
    colours: Any = parse_object(text, subject)
    is_right = set(colours) == {"factors", "bias"} and _are_colours(colours["factors"], LATENT_CHANNELS)
    if not is_right or not _is_colour(colours["bias"]):
        raise CheckpointError(
            f"{subject} must give factors, three numbers for each of {LATENT_CHANNELS} channels, and bias, three "
            "numbers. Get the file again from its source."
        )
    return colours["factors"], colours["bias"]


def _are_colours(values: Any, count: int) -> bool:
    return isinstance(values, list) and len(values) == count and all(map(_is_colour, values))


def _is_colour(value: Any) -> bool:
    is_triple = isinstance(value, list) and len(value) == 3
    return is_triple and all(isinstance(number, (int, float)) and isfinite(number) for number in value)


def empty_latent(shape: AVShape, batch_size: int, device: torch.device) -> dict:
    """LATENT of zeros for ``batch_size`` clips."""
    video, audio = (torch.zeros(batch_size, *size[1:], device=device) for size in (shape.video, shape.audio))
    return {"samples": NestedTensor((video, audio))}


def _is_plain(latent: Tensor) -> bool:
    return not latent.is_nested and latent.ndim == VIDEO_DIMS


def split(latent: dict) -> tuple[Tensor, Tensor]:
    """Video and audio of a LATENT.

    Raises:
        ValueError: If it is not a joint latent.
    """
    samples = latent["samples"]
    parts = samples.unbind() if getattr(samples, "is_nested", False) else [samples]
    fault = shapes_error([tuple(part.shape) for part in parts])
    if fault:
        raise ValueError(fault)
    return parts[0], parts[1]


def shapes_error(shapes: list[tuple[int, ...]], plain_too: bool = False) -> str | None:
    """Error message about the shapes of a latent's parts; None if they are right.

    Args:
        shapes: Shapes of the parts.
        plain_too: Whether a video latent without sound is good too.
    """
    use = "Use the node 'UniAVGen Empty Latent'."
    if plain_too and len(shapes) == 1:
        if len(shapes[0]) == VIDEO_DIMS and shapes[0][1] == LATENT_CHANNELS:
            return None
        use = "Use the node 'UniAVGen Empty Latent', or 'Wan22ImageToVideoLatent' for a picture alone."
    if len(shapes) != 2 or len(shapes[0]) != VIDEO_DIMS or len(shapes[1]) != AUDIO_DIMS:
        return f"The latent is not a UniAVGen latent of video and audio (its shapes: {shapes}). {use}"
    if shapes[0][1] != LATENT_CHANNELS or shapes[1][3] != MEL_BINS:
        return (
            f"The latent belongs to another model: its shapes are {shapes}, but UniAVGen needs {LATENT_CHANNELS} video "
            f"channels and {MEL_BINS} mel bins. {use}"
        )
    return None


def masks_of(latent: dict) -> tuple[Tensor, Tensor]:
    """Noise masks of a LATENT, 1 where generated: (B, 1, T, 1, 1) and (B, K, S, 1); ones where it has none."""
    video, audio = split(latent)
    ones = (
        torch.ones(video.shape[0], 1, video.shape[2], 1, 1, device=video.device),
        torch.ones(*audio.shape[:3], 1, device=audio.device),
    )
    mask = latent.get("noise_mask")
    if mask is None:
        return ones
    given = mask.unbind() if getattr(mask, "is_nested", False) else [mask, ones[1]]
    if given[0].ndim != VIDEO_DIMS:
        raise ValueError(
            f"The latent's noise mask has shape {tuple(given[0].shape)}; a plain image mask cannot be used here. "
            "Use the UniAVGen nodes to keep parts of a clip."
        )
    return given[0], given[1]


def keeps_regions(mask: Tensor) -> Tensor:
    """True for latents of which a part is kept and a part generated, (B, C, T, 1, 1), for a mask (B, C, T, H, W)."""
    return mask.amax((3, 4), keepdim=True) != mask.amin((3, 4), keepdim=True)


def keep_first_latent(latent: dict, clean: Tensor) -> dict:
    """LATENT that keeps ``clean`` (B, 48, 1, H, W) as its first video latent."""
    return keep_video(latent, clean, torch.zeros(1))


def keep_video(latent: dict, clean: Tensor, weights: Tensor) -> dict:
    """LATENT whose first video latents are given; where earlier ones are kept more, they stay.

    Args:
        latent: Joint LATENT.
        clean: The given latents, (B, 48, t, H, W) with t <= T.
        weights: How far each is generated anew, 0 for kept, (t,).
    """
    (video, audio), (video_mask, audio_mask) = split(latent), masks_of(latent)
    video, video_mask = _given(video, video_mask, clean, weights)
    return _joint(latent, (video, audio), (video_mask, audio_mask))


def keep_around(latent: dict, clean: Tensor, region: Tensor) -> dict:
    """LATENT whose video is given but for a region.

    Args:
        latent: Joint LATENT.
        clean: The given latents, (B, 48, T, H, W).
        region: 1 for latent pixels that are generated, 0 for kept ones, (T, H, W).
    """
    (video, audio), (_, audio_mask) = split(latent), masks_of(latent)
    mask = region.to(video)[None, None].expand(video.shape[0], -1, -1, -1, -1)
    return _joint(latent, (clean.to(video).expand_as(video), audio), (mask, audio_mask))


def keep_audio(latent: dict, clean: Tensor, weights: Tensor, track: int = 0) -> dict:
    """LATENT whose first mel frames of one track are given; where earlier ones are kept more, they stay.

    Args:
        latent: Joint LATENT.
        clean: Normalised mel, (s, 80) with s <= S.
        weights: How far each frame is generated anew, 0 for kept, (s,).
        track: The audio track.
    """
    (video, audio), (video_mask, audio_mask) = split(latent), masks_of(latent)
    one = slice(track, track + 1)
    audio, audio_mask = audio.clone(), audio_mask.clone()
    audio[:, one], audio_mask[:, one] = _given(audio[:, one], audio_mask[:, one], clean, weights)
    return _joint(latent, (video, audio), (video_mask, audio_mask))


def _given(part: Tensor, mask: Tensor, clean: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Copies of a part (B, C, T, ...) and its mask with the first time steps given where they are to be kept.

    Who keeps more of a place decides what it holds, of equals the later: a place takes the given values where its
    weight is below 1 and not above its mask, and the smaller of both as its mask. Elsewhere it stays as it was.
    """
    part, mask, count = part.clone(), mask.clone(), len(weights)
    weights = weights.to(mask).reshape(1, 1, count, *(1,) * (mask.ndim - 3))
    earlier = mask[:, :, :count]
    taken = (weights < 1) & (weights <= earlier)
    part[:, :, :count] = torch.where(taken, clean.to(part), part[:, :, :count])
    mask[:, :, :count] = torch.minimum(earlier, weights)
    return part, mask


def _joint(latent: dict, parts: tuple[Tensor, Tensor], masks: tuple[Tensor, Tensor]) -> dict:
    return {**latent, "samples": NestedTensor(parts), "noise_mask": NestedTensor(masks)}
