"""A user's VIDEO whose pictures are decoded a span at a time, so that a long one is never in memory as a whole.

Dimension key: F video frames, H and W pixel rows and columns.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import torch
from comfy_api.latest import InputImpl
from torch import Tensor

from ....uniavgen_core.media.audio.sound import Sound
from ....uniavgen_core.media.audio.sound_file import read_sound
from ....uniavgen_core.media.video.frames import fit_frame_count, frame_times, nearest_frames, to_rgb
from ....uniavgen_core.shapes import FPS
from .footage import DECODER_ERRORS, check_memory, check_sides, decode_video, unreadable

CHUNK = 64
"""Frames decoded at once where all are read."""


@dataclass(frozen=True)
class VideoSpans:
    """Pictures of a VIDEO, and its sound.

    Attributes:
        video: ComfyUI's VIDEO.
        shape: Frames, height, width and 3 colours.
        fps: Frames a second.
        sound: Its sound, mixed down; None without one.
        images: All pictures, (F, H, W, 3), where they are in memory anyway; None where they are in a file.
        name: Name of the video in messages, such as ``the video``.
    """

    video: Any
    shape: tuple[int, ...]
    fps: Fraction
    sound: Sound | None
    images: Tensor | None
    name: str

    @classmethod
    def of(cls, video: Any, name: str) -> tuple["VideoSpans", list[str]]:
        """Open a VIDEO, and return notices about it.

        Raises:
            ValueError: If it cannot be read or has no pictures.
        """
        if not isinstance(video, InputImpl.VideoFromFile):
            footage, notices = decode_video(video, name)
            return cls(video, tuple(footage.frames.shape), footage.fps, footage.sound, footage.frames, name), notices
        try:
            width, height = video.get_dimensions()
            count, fps = video.get_frame_count(), Fraction(video.get_frame_rate())
            sound = _sound_of(video)
        except (*DECODER_ERRORS, ValueError) as error:
            raise unreadable(name, error) from error
        check_sides((width, height), name)
        spans = cls(video, (count, height, width, 3), fps, sound, None, name)
        rotated = spans.own_frames(0, 1).shape[1:3]  # a phone's video may be turned when it is decoded
        return cls(video, (count, *rotated, 3), fps, sound, None, name), []

    @property
    def seconds(self) -> float:
        """Length of the pictures, seconds."""
        return float(len(self) / self.fps)

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        """Yield all pictures at the video's own rate, (H, W, 3) in [0, 1]."""
        for first in range(0, len(self), CHUNK):
            yield from self.own_frames(first, min(first + CHUNK, len(self)))

    def own_frames(self, first: int, stop: int) -> Tensor:
        """Pictures ``first`` to ``stop`` at the video's own rate, (stop - first, H, W, 3) in [0, 1].

        Raises:
            ValueError: If they cannot be decoded, or would not fit into memory.
        """
        if self.images is not None:
            return self.images[first:stop]
        check_memory(stop - first, (self.shape[2], self.shape[1]), self.name)
        # Half a frame early, so that rounding cannot lose the first frame.
        start = max(0.0, float((first - Fraction(1, 2)) / self.fps))
        part = self.video.as_trimmed(start, float((stop - Fraction(1, 2)) / self.fps) - start, strict_duration=False)
        try:
            frames, _ = to_rgb(part.get_components().images)
        except DECODER_ERRORS as error:
            raise unreadable(self.name, error) from error
        if not len(frames):
            raise unreadable(self.name, f"no frame after {start:.2f} s")
        return fit_frame_count(frames, stop - first)

    def at_model_rate(self, first: int, stop: int) -> Tensor:
        """Pictures ``first`` to ``stop`` at 16 fps, (stop - first, H, W, 3); after its end, the video's last one."""
        times = frame_times(stop, float(FPS))[first:]
        chosen = nearest_frames(len(self), float(self.fps), times)
        frames = self.own_frames(int(chosen[0]), int(chosen[-1]) + 1)
        return frames[chosen - chosen[0]]


def _sound_of(video: Any) -> Sound | None:
    """Sound of a video file, of its trimmed part, mixed down; None without one."""
    start, seconds = video.get_active_trim_window()
    waveform, rate = read_sound(video.get_stream_source(), start, seconds + start if seconds else torch.inf)
    if not len(waveform):
        return None
    waveform = waveform[: round(seconds * rate)] if seconds else waveform
    return Sound(waveform[None], rate)
