"""A user's frames: what can be used, which of them fall on another frame rate, and their size and colours.

Frame k begins at k / fps seconds. Frames are chosen, never blended, and chosen before anything is converted, so that of
a long video only what is needed is copied. A single frame is a video too: every function here takes it.

Dimension key: F video frames, H rows, W columns, C channels.
"""

from enum import Enum
from math import floor, isfinite

import numpy as np
import torch
from torch import Tensor

from .resize import resize

LONG_FRAMES = 5_000
_ALPHA_COLOURS = {1: 0, 2: 1, 3: 0, 4: 3}  # Channels a picture may have: how many colours stand before its alpha.
_CHUNK = 32
_TINY = 1e-6


class Fit(Enum):
    """How a picture gets another shape: what sticks out is cropped, or all of it is stretched."""

    CROP = "crop"
    STRETCH = "stretch"


def check_frames(frames: Tensor, what: str) -> list[str]:
    """Refuse frames that cannot be used, and say what is odd about frames that can.

    Args:
        frames: Pictures a user gave.
        what: What they are called in messages, such as ``"the video"``.

    Returns:
        Notices for the user, whole sentences.

    Raises:
        ValueError: If there is no frame or no pixel, the channels are not 1 to 4, or a value is not finite.
    """
    name = what[:1].upper() + what[1:]
    if frames.ndim != 4 or frames.numel() == 0 or frames.shape[-1] not in _ALPHA_COLOURS:
        raise ValueError(
            f"{name} has shape {tuple(frames.shape)}; expected at least one picture, (frames, height, width, channels) "
            "with 1 to 4 channels. Check the node or the file it comes from."
        )
    for start in range(0, len(frames), _CHUNK) if frames.is_floating_point() else ():
        chunk = frames[start : start + _CHUNK]
        if not all(isfinite(value) for value in chunk.aminmax()):
            bad = int((~torch.isfinite(chunk)).flatten(1).any(1).nonzero()[0])
            raise ValueError(
                f"{name} holds values that are not finite in frame {start + bad}, counted from 0. The node before it "
                "made a broken picture; make it again, or leave that frame out."
            )
    if len(frames) == 1:
        return [f"{name} has a single frame; it is shown for as long as it is needed."]
    if len(frames) > LONG_FRAMES:
        return [f"{name} has {len(frames)} frames; only those that the clip needs are used."]
    return []


def frame_times(num_frames: int, fps: float) -> Tensor:
    """When every frame begins, seconds, (F,) float64.

    Raises:
        ValueError: If ``fps`` is not positive and finite.
    """
    _check_fps(fps)
    return torch.arange(num_frames, dtype=torch.float64) / fps


def nearest_frames(num_frames: int, fps: float, times: Tensor) -> Tensor:
    """Find the frame nearest to each point in time; before the first and after the last it is that one.

    Args:
        num_frames: How many frames there are.
        fps: Their rate.
        times: Seconds, (any,) float64.

    Returns:
        Frame indices, (any,) long; of two frames as near, the later.

    Raises:
        ValueError: If ``fps`` is not positive and finite.
    """
    _check_fps(fps)
    return (times * fps + 0.5 + _TINY).floor().long().clamp(0, num_frames - 1)


def resample_frames(frames: Tensor, fps_in: float, fps_out: float, num_frames: int | None = None) -> Tensor:
    """Bring a video to another frame rate by taking, for every new frame, the old one nearest in time.

    Args:
        frames: (F, H, W, C) of any dtype.
        fps_in: Their rate.
        fps_out: The new rate.
        num_frames: How many new frames; without it as many as last as long, at least one. Past the end the last frame
            is repeated.

    Returns:
        Frames at the new rate, (num_frames, H, W, C); ``frames`` itself if they are the same.

    Raises:
        ValueError: If there is no frame, or a rate is not positive and finite.
    """
    if len(frames) == 0:
        raise ValueError("There are no frames to resample. Check the node or the file they come from.")
    _check_fps(fps_in)
    if num_frames is None:
        num_frames = max(1, floor(len(frames) * fps_out / fps_in + 0.5 + _TINY))
    chosen = nearest_frames(len(frames), fps_in, frame_times(num_frames, fps_out))
    return _choose(frames, chosen)


def fit_frame_count(frames: Tensor, count: int) -> Tensor:
    """Make a video ``count`` frames long: cut it, or repeat its last frame.

    Args:
        frames: (F, H, W, C), F at least 1.
        count: How many frames, at least 1.

    Returns:
        (count, H, W, C): a view of ``frames`` if it was long enough.

    Raises:
        ValueError: If there is no frame, or ``count`` is not positive.
    """
    if len(frames) == 0 or count < 1:
        raise ValueError(f"{len(frames)} frames cannot be made {count}; at least one is needed, and one must be left.")
    if count <= len(frames):
        return frames[:count]
    return torch.cat([frames, frames[-1:].expand(count - len(frames), -1, -1, -1)])


def to_rgb(images: Tensor) -> tuple[Tensor, list[str]]:
    """Give pictures three colours: grey is repeated, and what is transparent shows white.

    Args:
        images: Grey, grey and alpha, RGB or RGBA, (F, H, W, 1 to 4), in [0, 1] or uint8.

    Returns:
        RGB, (F, H, W, 3) floating point, ``images`` itself if they are that already; and notices for the user.

    Raises:
        ValueError: If the channels are not 1 to 4.
    """
    channels = images.shape[-1]
    if images.ndim != 4 or channels not in _ALPHA_COLOURS:
        raise ValueError(f"Pictures of shape {tuple(images.shape)} have no colours; expected (F, H, W, 1 to 4).")
    if channels == 3 and images.is_floating_point():
        return images, []
    dtype = images.dtype if images.is_floating_point() else torch.float32
    result = torch.empty((*images.shape[:-1], 3), dtype=dtype, device=images.device)
    for start in range(0, len(images), _CHUNK):
        result[start : start + _CHUNK] = _chunk_to_rgb(images[start : start + _CHUNK])
    notices = {
        1: ["The pictures are grey; the same grey is used for all three colours."],
        2: ["The pictures are grey with an alpha channel; they are laid over white."],
        4: ["The pictures have an alpha channel; they are laid over white."],
    }
    return result, notices.get(channels, [])


def resize_frames(frames: Tensor, width: int, height: int, fit: Fit = Fit.CROP) -> Tensor:
    """Bring frames to a size. Choose the frames first: every one given is converted.

    Args:
        frames: RGB in [0, 1], (F, H, W, 3).
        width: New width, pixels.
        height: New height, pixels.
        fit: Whether what the new shape has no room for is cropped, the same on both sides, or all is stretched.

    Returns:
        RGB in [0, 1], (F, height, width, 3), through 8 bits a colour; ``frames`` itself if they have that size.

    Raises:
        ValueError: If the frames are not RGB and finite, or the size is not positive.
    """
    if frames.shape[1:3] == (height, width):
        return frames
    return resize(crop_to_shape(frames, width, height) if fit is Fit.CROP else frames, width, height)


def crop_to_shape(frames: Tensor, width: int, height: int) -> Tensor:
    """Cut the largest part in the middle of frames that has the proportions of ``width`` x ``height``.

    Args:
        frames: (F, H, W, C).
        width: Width of the proportions, of any unit.
        height: Their height, of the same unit.

    Returns:
        A view of ``frames``, (F, rows, columns, C); one of its sides is as long as before.
    """
    left, top, columns, rows = crop_box((frames.shape[2], frames.shape[1]), (width, height))
    return frames[:, top : top + rows, left : left + columns]


def crop_box(size: tuple[int, int], shape: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, top, width and height of what ``crop_to_shape`` keeps of a picture.

    Args:
        size: Width and height of the picture, pixels.
        shape: Width and height of the proportions, of any unit.
    """
    columns = max(1, min(size[0], round(size[1] * shape[0] / shape[1])))
    rows = max(1, min(size[1], round(size[0] * shape[1] / shape[0])))
    return (size[0] - columns) // 2, (size[1] - rows) // 2, columns, rows


def _check_fps(fps: float) -> None:
    """Refuse a frame rate that is none."""
    if not (isfinite(fps) and fps > 0):
        raise ValueError(f"The frame rate is {fps}; it must be a positive number of frames a second.")


def _choose(frames: Tensor, chosen: Tensor) -> Tensor:
    """The chosen frames, without a copy if they are all of them in order."""
    if torch.equal(chosen, torch.arange(len(frames))):
        return frames
    return frames[chosen.to(frames.device)]


def _chunk_to_rgb(images: Tensor) -> Tensor:
    """Pictures (F, H, W, 1 to 4) as RGB over white."""
    images = images if images.is_floating_point() else images.float() / 255
    colours = _ALPHA_COLOURS[images.shape[-1]]
    if not colours:
        return images.expand(-1, -1, -1, 3)
    alpha = images[..., colours:].clamp(0, 1)
    return (images[..., :colours] * alpha + (1 - alpha)).expand(-1, -1, -1, 3)


def codec_pixels(frames: np.ndarray) -> Tensor:
    """Frames (F, rows, columns, 3) uint8 as the codec takes them, (1, 3, F, rows, columns) in [-1, 1]."""
    return torch.from_numpy(frames).permute(3, 0, 1, 2)[None].float() / 127.5 - 1
