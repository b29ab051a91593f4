"""A user's VIDEO and AUDIO as plain tensors, checked before any long computation starts.

Dimension key: F video frames, H and W pixel rows and columns.
"""

from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Any

import psutil
from av.error import FFmpegError
from torch import Tensor

from ....uniavgen_core.media.audio.sound import Sound, cut
from ....uniavgen_core.media.audio.sound_checks import check_user_sound
from ....uniavgen_core.media.sentence_subject import subject
from ....uniavgen_core.media.video.frames import check_frames, to_rgb

HALF = Fraction(1, 2)
BYTES_PER_PIXEL = 12
"""Three channels of float32, as ComfyUI holds a decoded frame."""
SHORTEST_SIDE = 2
"""Pixels: H.264 needs even sides."""
LARGEST_SHARE = 0.5
"""Share of the free memory that the frames of one video may take."""


DECODER_ERRORS = (FFmpegError, ArithmeticError, AttributeError, LookupError, OSError, RuntimeError, TypeError)
"""Errors with which ComfyUI's decoder ends on damaged videos, such as ones without times or with a rate of 0."""


@dataclass(frozen=True)
class Footage:
    """A decoded video.

    Attributes:
        frames: Pictures in [0, 1], (F, H, W, 3).
        fps: Frames per second.
        sound: Sound of the video, or None.
    """

    frames: Tensor
    fps: Fraction
    sound: Sound | None

    @property
    def seconds(self) -> float:
        """Duration of the pictures, seconds."""
        return float(len(self.frames) / self.fps)


def batch_notices(batch: Tensor | None, name: str) -> list[str]:
    """Notice about a batch of more than one picture or sound.

    Args:
        batch: Pictures or sounds along the first axis; None for none.
        name: Name of the batch in the notice, such as ``the image``.
    """
    if batch is None or len(batch) <= 1:
        return []
    return [f"{subject(name)} is a batch of {len(batch)}, of which only the first is used."]


def first_sound(audio: Any, name: str) -> tuple[Sound, list[str]]:
    """First sound of an AUDIO.

    Args:
        audio: ComfyUI's AUDIO: a mapping with ``waveform`` (B, C, N) and ``sample_rate``.
        name: Name of the sound in messages, such as ``the sound``.

    Returns:
        The sound, and notices for the user.

    Raises:
        ValueError: If the sound cannot be used; says why.
    """
    waveform = audio["waveform"]
    if waveform.ndim != 3 or not waveform.shape[0]:
        raise ValueError(
            f"The waveform of {name} has shape {tuple(waveform.shape)}; an AUDIO of ComfyUI is (batch, channels, "
            "samples). The node that made it is at fault."
        )
    sound = Sound(waveform[0].float().cpu(), int(audio["sample_rate"]))
    return sound, [*batch_notices(waveform, name), *check_user_sound(sound, name)]


def decode_video(video: Any, name: str, last_seconds: float | None = None) -> tuple[Footage, list[str]]:
    """Decode a VIDEO.

    Args:
        video: ComfyUI's VIDEO.
        name: Name of the video in messages, such as ``the video``.
        last_seconds: Duration to decode at the end of the video; None for all of it.

    Returns:
        The video, and notices for the user.

    Raises:
        ValueError: If the video cannot be decoded, or has no frames or too many for the memory; says what to do.
    """
    try:
        total, fps = video.get_frame_count(), Fraction(video.get_frame_rate())
        count = total if last_seconds is None else min(total, ceil(last_seconds * fps))
        check_sides(video.get_dimensions(), name)
        check_memory(count, video.get_dimensions(), name)
        # Starts half a frame early, so that rounding cannot lose the first frame.
        start = float((total - count - HALF) / fps) if count < total else 0.0
        components = (video.as_trimmed(start, strict_duration=False) if start else video).get_components()
    except DECODER_ERRORS as error:
        raise unreadable(name, error) from error
    frames = components.images
    if frames.ndim != 4 or not frames.shape[0]:
        raise ValueError(f"{subject(name)} has no video frames. Use a video file, not an audio file.")
    notices = [*check_frames(frames, name), *_video_notices(components, name)]
    frames, rgb_notices = to_rgb(frames)
    notices += rgb_notices
    sound = None
    if components.audio is not None and components.audio["waveform"].shape[-1]:
        sound, sound_notices = first_sound(components.audio, f"the audio of {name}")
        notices += sound_notices
        sound = cut(sound, float(HALF / fps), sound.seconds) if start else sound
        # Lossy codecs pad their last block, up to 71 ms after the last picture.
        sound = cut(sound, 0.0, float(len(frames) / fps))
    return Footage(frames, fps, sound), notices


def unreadable(name: str, error: object) -> ValueError:
    """Error that says why a video cannot be decoded, and what to do."""
    return ValueError(
        f"{subject(name)} cannot be decoded ({error}). The file may be damaged or cut short: play it to the end in a "
        "video player, and convert it to mp4 if it plays."
    )


def _video_notices(components: Any, name: str) -> list[str]:
    """Notices about an alpha channel and odd sides of a video."""
    height, width = components.images.shape[1:3]
    notices = []
    if getattr(components, "alpha", None) is not None:
        notices.append(f"{subject(name)} has an alpha channel, which is ignored.")
    if width % 2 or height % 2:
        notices.append(
            f"{subject(name)} is {width}x{height} and comes back in that size, but H.264 needs even sides: where "
            "'UniAVGen Save Video' has to encode it, the last odd column or row is dropped."
        )
    return notices


def check_sides(size: tuple[int, int], name: str) -> None:
    """Refuse pictures that no video file can hold.

    Args:
        size: Width and height, pixels.
        name: Name of the video in messages, such as ``the video``.

    Raises:
        ValueError: If a side is shorter than two pixels.
    """
    if min(size) < SHORTEST_SIDE:
        raise ValueError(
            f"{subject(name)} is {size[0]}x{size[1]} pixels; each side needs at least {SHORTEST_SIDE}. Check the node "
            "or the file it comes from."
        )


def check_memory(frames: int, size: tuple[int, int], name: str) -> None:
    """Refuse to decode so many frames that they would not fit into memory.

    Args:
        frames: Number of frames.
        size: Width and height, pixels.
        name: Name of the video in messages, such as ``the video``.

    Raises:
        ValueError: If they would take more than half of the free memory.
    """
    width, height = size
    needed, free = frames * width * height * BYTES_PER_PIXEL, psutil.virtual_memory().available
    if needed > LARGEST_SHARE * free:
        raise ValueError(
            f"{subject(name)} has {frames} frames of {width}x{height}, {needed / 2**30:.0f} GiB once decoded; "
            f"{free / 2**30:.0f} GiB are free. Cut it with 'Trim Video', or make it smaller first."
        )
