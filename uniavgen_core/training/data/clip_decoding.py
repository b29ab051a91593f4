"""Video files to frames at 16 fps and sound at 24 kHz, of the part that is asked for and no more.

Frames are chosen by their own times, so that files with a varying frame rate are read rightly, and resized one by one,
so that memory holds only what is kept.
Dimension key: H rows, W columns, C channels, N samples.
"""

from math import floor
from pathlib import Path
from typing import Any, BinaryIO

import av
import numpy as np
import torch
from av.container import InputContainer
from av.error import FFmpegError
from torch import Tensor

from ...media.audio.mel import rescale_volume
from ...media.audio.sound import Sound, to_model_sound
from ...shapes import FPS, SAMPLE_RATE
from .clip_form import ClipForm
from .clip_record import BadClipError, DecodedClip

SAMPLES_A_FRAME = SAMPLE_RATE // FPS
_MISSING_SECONDS = 0.1  # Sound that may be missing at a clip's end: encoders cut it to whole packets.
_SEEK_BEFORE = 1.0
_TINY = 1e-3
_SILENT = 1e-4


class _FramePicker:
    """Chooses, of frames that come one by one, the nearest to every sixteenth of a second."""

    def __init__(self, start: float, stop: float, form: ClipForm) -> None:
        self.start, self.stop, self.form = start, stop, form
        self.most = min(form.most_frames, floor((stop - start) * FPS + 0.01)) if stop < np.inf else form.most_frames
        self.chosen: list[np.ndarray] = []
        self.last: tuple[float, av.VideoFrame] | None = None

    @property
    def is_full(self) -> bool:
        return len(self.chosen) >= self.most

    def add(self, time: float, frame: av.VideoFrame) -> None:
        """Take the next frame, ``time`` seconds from the start of the file.

        The nearest of two frames is chosen, but a frame that stands for long is not cut short for the one after it.
        """
        if self.last is not None:
            self._choose_until(time - min((time - self.last[0]) / 2, 0.5 / FPS))
        self.last = (time, frame)

    def finish(self, seconds: float) -> None:
        """Say that no frame follows, and how long the last one is seen."""
        if self.last is not None:
            self._choose_until(self.last[0] + seconds)

    def _choose_until(self, time: float) -> None:
        """Choose the last frame for all moments before ``time``."""
        picture = None
        while self.last and not self.is_full and self.start + len(self.chosen) / FPS < time - _TINY:
            picture = self._picture(self.last[1]) if picture is None else picture
            self.chosen.append(picture)

    def _picture(self, frame: av.VideoFrame) -> np.ndarray:
        """The frame the right way up and at its size, RGB, (H, W, 3) uint8."""
        upright = np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90))
        return self.form.resized(np.ascontiguousarray(upright))


class _SoundCollector:
    """Keeps the samples of frames that come one by one."""

    def __init__(self, sample_rate: int) -> None:
        self.rate = sample_rate
        self.planar = av.AudioResampler(format="fltp")
        self.first: float | None = None
        self.pieces: list[np.ndarray] = []
        self.samples = 0

    def add(self, time: float, frame: av.AudioFrame) -> None:
        """Take the next frame, ``time`` seconds from the start of the file."""
        self.first = time if self.first is None else self.first
        for piece in self.planar.resample(frame):
            self.pieces.append(piece.to_ndarray())
            self.samples += piece.samples

    @property
    def end(self) -> float:
        """End of the sound so far, seconds from the start of the file."""
        return -np.inf if self.first is None else self.first + self.samples / self.rate

    def sound(self, start: float, stop: float) -> Tensor:
        """Samples at 24 kHz of a part, (N,); silence before the first one that there is."""
        waveform = torch.from_numpy(np.concatenate(self.pieces, axis=1))
        begin = self.first or 0.0
        first, last = (round((time - begin) * self.rate) for time in (start, min(stop, self.end)))
        part = torch.nn.functional.pad(waveform[:, max(0, first) : max(0, last)], (max(0, -first), 0))
        if not part.shape[1]:
            raise BadClipError("no audio", "There is no audio in this part of the file. Check the span.")
        if not torch.isfinite(part).all():
            raise BadClipError("not finite", "The audio holds values that are not finite. Encode it again.")
        return to_model_sound(Sound(part, self.rate))


def decode_clip(file: Path | BinaryIO, span: tuple[float, float] | None, form: ClipForm) -> DecodedClip:
    """Decode a clip.

    Args:
        file: A video in any container that FFmpeg reads: its path, or its content.
        span: Start and end, seconds from the first frame; None for all.
        form: Size and length.

    Raises:
        BadClipError: If it cannot be read, has no picture or sound, is silent, or is too short; gives the reason.
    """
    if isinstance(file, Path) and not _is_file(file):
        raise BadClipError("missing file", f"{file} is not there. Paths are relative to the manifest.")
    try:
        with av.open(file, "r") as container:
            pictures, sound = _read(container, span or (0.0, np.inf), form)
            seconds = _seconds(container, span)
    except BadClipError:
        raise
    except (FFmpegError, OSError, EOFError, ValueError) as error:
        raise BadClipError("unreadable", f"The file cannot be decoded: {error}.") from error
    if form.skip_long and form.is_cut(seconds):
        raise BadClipError("too long", f"The clip lasts {seconds:.2f} s, over {form.most_frames} frames. Split it.")
    return _fitted(pictures, sound, form, form.is_cut(seconds))


def _is_file(path: Path) -> bool:
    """True if there is a file; a name that the system cannot have has none."""
    try:
        return path.is_file()
    except OSError:
        return False


def _read(container: InputContainer, span: tuple[float, float], form: ClipForm) -> tuple[list[np.ndarray], Tensor]:
    """Pictures at 16 fps, none where only sound is wanted, and samples at 24 kHz, of a part of a file."""
    streams = _streams(container, form)
    zero = float((streams[0].start_time or 0) * streams[0].time_base)
    start, stop = (zero + time for time in span)
    picker, collector = _FramePicker(start, stop, form), _SoundCollector(streams[-1].rate)
    end = min(stop, start + form.most_frames / FPS)
    if span[0] > _SEEK_BEFORE:
        container.seek(round((start - _SEEK_BEFORE) * av.time_base))
    for frame in container.decode(*streams):
        if frame.time is not None:
            receiver: Any = picker if isinstance(frame, av.VideoFrame) else collector
            receiver.add(frame.time, frame)
        if (picker.is_full or form.sound_only) and collector.end >= end:
            break
    if not form.sound_only:
        picker.finish(1 / float(streams[0].average_rate or FPS))
    if not collector.pieces or not (picker.chosen or form.sound_only):
        raise BadClipError("too short", "There is no video or no audio in this part of the file. Check the span.")
    return picker.chosen, collector.sound(start, end)


def _streams(container: InputContainer, form: ClipForm) -> list[Any]:
    """The picture, where it is wanted, and the sound."""
    found = []
    for kind, streams in (("video", container.streams.video), ("audio", container.streams.audio)):
        if kind == "video" and form.sound_only:
            continue
        if not streams:
            raise BadClipError(f"no {kind}", f"The file has no {kind}. Leave it out, or add one.")
        found.append(streams[0])
    return found


def _seconds(container: InputContainer, span: tuple[float, float] | None) -> float:
    """Length of the clip, seconds; 0 if its file does not say."""
    length = 0.0 if container.duration is None else container.duration / av.time_base
    return length if span is None else min(span[1], length or span[1]) - span[0]


def _fitted(pictures: list[np.ndarray], sound: Tensor, form: ClipForm, cut: bool) -> DecodedClip:
    """Pictures and sound (N,) of one length, 4n + 1 frames."""
    seconds = len(sound) / SAMPLE_RATE
    heard = floor((seconds + (_TINY if form.sound_only else _MISSING_SECONDS)) * FPS)
    frames = form.frames_of(heard if form.sound_only else min(len(pictures), heard))
    if not frames:
        found = f"{seconds:.2f} s of audio" if form.sound_only else f"{len(pictures)} frames, {seconds:.2f} s of audio"
        raise BadClipError("too short", f"The clip has {found}; it must last at least {form.fewest_frames} frames.")
    samples = frames * SAMPLES_A_FRAME
    waveform = torch.nn.functional.pad(sound[:samples], (0, max(0, samples - len(sound))))
    if waveform.abs().max() < _SILENT:
        raise BadClipError("silent", "Nothing in the clip is louder than 1/10000 of full scale. Check its audio.")
    seen = None if form.sound_only else np.stack(pictures[:frames])
    return DecodedClip(seen, rescale_volume(waveform), cut)
