"""A user's frames: validation, and conversion of frame rate, size and colours.

Frame k begins at k / fps seconds. Frames are selected, never blended, and selected before they are converted, so that
only the needed frames of a long video are copied. Every function also accepts a single frame.

Dimension key: F video frames, H rows, W columns, C channels.
"""

from enum import Enum
from math import floor, isfinite

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ...shapes import SIZE_MULTIPLE
from ..sentence_subject import subject

SHORT_SIDE = 736
LONG_FRAMES = 5_000
_ALPHA_COLOURS = {1: 0, 2: 1, 3: 0, 4: 3}  # Number of channels: number of colours before alpha, 0 without alpha.
_CHUNK = 32
_TINY = 1e-6


class Fit(Enum):
    """Method of changing the aspect ratio of a picture: cropping or stretching."""

    CROP = "crop"
    STRETCH = "stretch"


def check_frames(frames: Tensor, label: str) -> list[str]:
    """Reject frames that cannot be used, and collect notices about frames that can.

    Args:
        frames: A user's pictures.
        label: Their name in messages, such as ``"the video"``.

    Returns:
        Notices for the user, whole sentences.

    Raises:
        ValueError: If there is no frame or no pixel, the channels are not 1 to 4, or a value is not finite.
    """
    name = subject(label)
    if frames.ndim != 4 or frames.numel() == 0 or frames.shape[-1] not in _ALPHA_COLOURS:
        raise ValueError(
            f"{name} has shape {tuple(frames.shape)}; expected at least one image, (frames, height, width, channels) "
            "with 1 to 4 channels. Check the node or the file it comes from."
        )
    for start in range(0, len(frames), _CHUNK) if frames.is_floating_point() else ():
        chunk = frames[start : start + _CHUNK]
        if not all(isfinite(value) for value in chunk.aminmax()):
            bad = int((~torch.isfinite(chunk)).flatten(1).any(1).nonzero()[0])
            raise ValueError(
                f"{name} holds values that are not finite in frame {start + bad}, counted from 0. The node before it "
                "made a broken frame; make it again, or leave that frame out."
            )
    if len(frames) == 1:
        return [f"{name} has a single frame; it is shown for as long as it is needed."]
    if len(frames) > LONG_FRAMES:
        return [f"{name} has {len(frames)} frames; only those that the clip needs are used."]
    return []


def frame_times(num_frames: int, fps: float) -> Tensor:
    """Start of every frame, seconds, (F,) float64; a ValueError if ``fps`` is not positive and finite."""
    _check_fps(fps)
    return torch.arange(num_frames, dtype=torch.float64) / fps


def nearest_frames(num_frames: int, fps: float, times: Tensor) -> Tensor:
    """Find the frame nearest to each point in time, clamped to the first and the last frame.

    Args:
        num_frames: Number of frames.
        fps: Their rate.
        times: Seconds, (any,) float64.

    Returns:
        Frame indices, (any,) long; of two equally near frames, the later.

    Raises:
        ValueError: If ``fps`` is not positive and finite.
    """
    return (times * fps + 0.5 + _TINY).floor().long().clamp(0, num_frames - 1)


def resample_frames(frames: Tensor, fps_in: float, fps_out: float) -> Tensor:
    """Convert a video (F, H, W, C), F at least 1, to another frame rate by selecting the nearest frame in time.

    Its length in seconds is kept, with at least one frame. ``frames`` itself is returned if nothing changes.

    Raises:
        ValueError: If ``fps_in`` is not positive and finite.
    """
    _check_fps(fps_in)
    num_frames = max(1, floor(len(frames) * fps_out / fps_in + 0.5 + _TINY))
    chosen = nearest_frames(len(frames), fps_in, frame_times(num_frames, fps_out))
    if torch.equal(chosen, torch.arange(len(frames))):
        return frames
    return frames[chosen.to(frames.device)]


def fit_frame_count(frames: Tensor, count: int) -> Tensor:
    """Cut a video to ``count`` frames, or pad it by repeating its last frame.

    Args:
        frames: (F, H, W, C), F at least 1.
        count: Number of frames, at least 1.

    Returns:
        (count, H, W, C); a view if ``frames`` is long enough.
    """
    if count <= len(frames):
        return frames[:count]
    return torch.cat([frames, frames[-1:].expand(count - len(frames), -1, -1, -1)])


def to_rgb(images: Tensor) -> tuple[Tensor, list[str]]:
    """Convert pictures to RGB: grey is repeated, and alpha is blended over white.

    Args:
        images: Grey, grey and alpha, RGB or RGBA, (F, H, W, 1 to 4), in [0, 1] or uint8.

    Returns:
        RGB, (F, H, W, 3) floating point, ``images`` itself if it is that already; and notices for the user.
    """
    channels = images.shape[-1]
    if channels == 3 and images.is_floating_point():
        return images, []
    dtype = images.dtype if images.is_floating_point() else torch.float32
    result = torch.empty((*images.shape[:-1], 3), dtype=dtype, device=images.device)
    for start in range(0, len(images), _CHUNK):
        result[start : start + _CHUNK] = _chunk_to_rgb(images[start : start + _CHUNK])
    notices = {
        1: ["The images are gray; the same gray is used for all three colors."],
        2: ["The images are gray with an alpha channel; they are blended over white."],
        4: ["The images have an alpha channel; they are blended over white."],
    }
    return result, notices.get(channels, [])


def fit_size(width: int, height: int, short_side: int = SHORT_SIDE) -> tuple[int, int]:
    """Size of the video that is generated for a picture.

    Args:
        width: Width of the picture, pixels.
        height: Height of the picture, pixels.
        short_side: Shorter side of the video, pixels, a multiple of 32.

    Returns:
        (width, height): the shorter side is ``short_side``, the other in proportion, rounded up to a multiple of 32.

    Raises:
        ValueError: If a side is not positive, or ``short_side`` not a positive multiple of 32.
    """
    if width < 1 or height < 1:
        raise ValueError(f"The image is {width} x {height} pixels; both sides must be positive.")
    if short_side < SIZE_MULTIPLE or short_side % SIZE_MULTIPLE:
        raise ValueError(f"short_side is {short_side}; it must be a positive multiple of {SIZE_MULTIPLE}.")
    shorter, longer = sorted((width, height))
    long_side = -(-longer * short_side // (shorter * SIZE_MULTIPLE)) * SIZE_MULTIPLE
    return (short_side, long_side) if width < height else (long_side, short_side)


def resize_frames(frames: Tensor, width: int, height: int, fit: Fit = Fit.CROP) -> Tensor:
    """Resize frames. Select frames first, because all of them are converted.

    Args:
        frames: RGB in [0, 1], (F, H, W, 3).
        width: New width, pixels.
        height: New height, pixels.
        fit: Centre crop or stretch, if the aspect ratio changes.

    Returns:
        RGB in [0, 1], (F, height, width, 3), through 8 bits a colour; ``frames`` itself if it has that size.

    Raises:
        ValueError: If the frames are not RGB and finite, or the size is not positive.
    """
    if frames.shape[1:3] == (height, width):
        return frames
    return resize(crop_to_shape(frames, width, height) if fit is Fit.CROP else frames, width, height)


def resize(pictures: Tensor, width: int, height: int) -> Tensor:
    """Stretch pictures to a size, through 8 bits a colour as in the release.

    Args:
        pictures: RGB in [0, 1], (B, H, W, 3).
        width: New width, pixels.
        height: New height, pixels.

    Returns:
        RGB in [0, 1], (B, height, width, 3), float32 on the device of ``pictures``.

    Raises:
        ValueError: If the pictures are not (B, H, W, 3) with a pixel and finite, or the size is not positive.

    Source: Pillow's bilinear filter, which averages when it shrinks.
    """
    if pictures.ndim != 4 or pictures.shape[-1] != 3 or pictures.numel() == 0:
        raise ValueError(f"Images of shape {tuple(pictures.shape)} cannot be resized; expected RGB, (B, H, W, 3).")
    if width < 1 or height < 1:
        raise ValueError(f"The new size is {width} x {height} pixels; both sides must be positive.")
    resized = torch.empty((len(pictures), height, width, 3), device=pictures.device)
    for picture, into in zip(pictures, resized, strict=True):  # One by one, so that a video is not copied twice.
        if not torch.isfinite(picture).all():
            raise ValueError("The images hold values that are not finite.")
        levels = (picture.float().clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
        smaller = Image.fromarray(levels).resize((width, height), Image.Resampling.BILINEAR)
        into[:] = torch.from_numpy(np.array(smaller)) / 255
    return resized


def crop_to_shape(frames: Tensor, width: int, height: int) -> Tensor:
    """Centre-crop frames to the aspect ratio of ``width`` x ``height``.

    Args:
        frames: (F, H, W, C).
        width: Width, any unit.
        height: Height, the same unit.

    Returns:
        A view of ``frames``, (F, rows, columns, C), with one side unchanged.
    """
    left, top, columns, rows = crop_box((frames.shape[2], frames.shape[1]), (width, height))
    return frames[:, top : top + rows, left : left + columns]


def crop_box(size: tuple[int, int], shape: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, top, width and height of the centre crop of a picture.

    Args:
        size: Width and height of the picture, pixels.
        shape: Width and height that give the aspect ratio, any unit.
    """
    columns = max(1, min(size[0], round(size[1] * shape[0] / shape[1])))
    rows = max(1, min(size[1], round(size[0] * shape[1] / shape[0])))
    return (size[0] - columns) // 2, (size[1] - rows) // 2, columns, rows


def _check_fps(fps: float) -> None:
    """Reject a frame rate that is not positive and finite."""
    if not (isfinite(fps) and fps > 0):
        raise ValueError(f"The frame rate is {fps}; it must be a positive number of frames a second.")


def _chunk_to_rgb(images: Tensor) -> Tensor:
    """Convert pictures (F, H, W, 1 to 4) to RGB over white."""
    images = images if images.is_floating_point() else images.float() / 255
    colours = _ALPHA_COLOURS[images.shape[-1]]
    if not colours:
        return images.expand(-1, -1, -1, 3)
    alpha = images[..., colours:].clamp(0, 1)
    return (images[..., :colours] * alpha + (1 - alpha)).expand(-1, -1, -1, 3)


def codec_pixels(frames: np.ndarray) -> Tensor:
    """Convert frames (F, rows, columns, 3) uint8 to the codec's input, (1, 3, F, rows, columns) in [-1, 1]."""
    return torch.from_numpy(frames).permute(3, 0, 1, 2)[None].float() / 127.5 - 1
