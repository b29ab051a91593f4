"""Spans of a clip in seconds, and their masks over latents, mel frames, samples and video frames.

A video frame belongs to the span that contains its middle, so a span may be off by up to half a frame. A latent frame
is kept if all its video frames are. A mel frame is kept if it lies completely inside.

Dimension key: F video frames, T latent frames, S mel frames, N samples.
"""

import re
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, floor, inf, isnan

import torch
from torch import Tensor

from ..shapes import FPS, MEL_RATE, TEMPORAL_FACTOR, video_frames_of

_SEPARATORS = re.compile(r"[,;\n\uff0c\uff1b]")
_SPAN = re.compile(r"(-?[^\s-]*)\s*-\s*(-?[^\s-]*)")
_DASHES = str.maketrans("\u2013\u2014\u2212", "---")
_HOW_TO = 'Write spans in seconds, such as "0-1.5, 3-4", "2-" (to the end) or "all".'
_TINY = 1e-6  # Tolerance for float arithmetic on seconds, in samples or frames.


@dataclass(frozen=True)
class Spans:
    """Parts of a clip in seconds; sorted, disjoint and immutable.

    Attributes:
        pairs: (start, stop) of every part, ``stop`` not included and possibly infinite. The order of the arguments is
            free; adjacent parts are merged.

    Raises:
        ValueError: If a part is negative, inverted, empty or not a number, or if two overlap.
    """

    pairs: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        for start, stop in self.pairs:
            _check(start, stop)
        ordered = sorted((float(start), float(stop)) for start, stop in self.pairs)
        for before, after in pairwise(ordered):
            if after[0] < before[1]:
                raise ValueError(
                    f"Spans {_text(*before)} and {_text(*after)} overlap. Join them into one, or move one of them."
                )
        merged = ordered[:1]
        for start, stop in ordered[1:]:
            if merged[-1][1] == start:
                start, _ = merged.pop()
            merged.append((start, stop))
        object.__setattr__(self, "pairs", tuple(merged))

    def __bool__(self) -> bool:
        return bool(self.pairs)

    def __str__(self) -> str:
        if self.pairs == ((0.0, inf),):
            return "all"
        return ", ".join(_text(*pair) for pair in self.pairs)

    def check_within(self, seconds: float, label: str) -> None:
        """Reject spans that begin at or after the end of a clip.

        Args:
            seconds: Length of the clip.
            label: Name of the clip in the message, such as ``"the video"``.

        Raises:
            ValueError: If a span begins at or after the end.
        """
        for start, stop in self.pairs:
            if start >= seconds:
                raise ValueError(
                    f"Span {_text(start, stop)} begins after the end of {label}, which is {seconds:g} s long. "
                    "Give spans inside it."
                )

    def clipped(self, seconds: float) -> "Spans":
        """Cut off the parts after ``seconds``."""
        return Spans(tuple((start, min(stop, seconds)) for start, stop in self.pairs if start < seconds))

    def shifted(self, seconds: float) -> "Spans":
        """Move every span later by ``seconds``, or earlier if negative, and cut off the parts before 0."""
        moved = ((max(start + seconds, 0.0), stop + seconds) for start, stop in self.pairs)
        return Spans(tuple((start, stop) for start, stop in moved if stop > start))

    def inverted(self) -> "Spans":
        """All of the time, from 0 on without end, that lies in none of the spans."""
        edges = [0.0, *(edge for pair in self.pairs for edge in pair), inf]
        return Spans(tuple((start, stop) for start, stop in zip(edges[::2], edges[1::2], strict=True) if stop > start))

    def united(self, other: "Spans") -> "Spans":
        """All of the time that lies in one of two sets of spans."""
        joined: list[tuple[float, float]] = []
        for start, stop in sorted((*self.pairs, *other.pairs)):
            if joined and start <= joined[-1][1]:
                start, stop = joined[-1][0], max(joined.pop()[1], stop)
            joined.append((start, stop))
        return Spans(tuple(joined))

    def latent_mask(self, latent_frames: int) -> Tensor:
        """Mask of latent frames whose video frames are all inside, (T,) bool."""
        frames = self.frame_mask(video_frames_of(latent_frames), FPS)
        return torch.cat([frames[:1], frames[1:].view(-1, TEMPORAL_FACTOR).all(1)])

    def mel_mask(self, mel_frames: int) -> Tensor:
        """Mask of mel frames that lie completely inside, (S,) bool."""
        return self._mask(mel_frames, MEL_RATE, 0.0, whole=True)

    def frame_mask(self, frames: int, fps: float) -> Tensor:
        """Mask of video frames whose middle lies inside, (F,) bool."""
        return self._mask(frames, fps, 0.5)

    def sample_ranges(self, samples: int, sample_rate: int) -> list[tuple[int, int]]:
        """Start and stop index of every span that contains any of ``samples`` samples."""
        found = [(_first(start, sample_rate, 0.0), _first(stop, sample_rate, 0.0)) for start, stop in self.pairs]
        ranges = [(first, min(stop, samples)) for first, stop in found]
        return [(int(first), int(stop)) for first, stop in ranges if stop > first]

    def _mask(self, length: int, rate: float, middle: float, whole: bool = False) -> Tensor:
        """Mask of steps whose point ``middle`` lies inside, or that lie completely inside."""
        mask = torch.zeros(length, dtype=torch.bool)
        for start, stop in self.pairs:
            first = _first(start, rate, middle)
            last = floor(stop * rate + _TINY) if whole and stop < inf else _first(stop, rate, middle)
            mask[int(min(first, length)) : int(min(last, length))] = True
        return mask


def parse_spans(text: str) -> Spans:
    """Parse spans in seconds separated by commas, such as ``"0-1.5, 3-4"``.

    ``"2-"`` goes to the end, ``"-1.5"`` begins at the start, ``"all"`` is everything and an empty text nothing.

    Raises:
        ValueError: If a span cannot be read, is negative, inverted or empty, or overlaps another.
    """
    if text.strip().lower() == "all":
        return EVERYTHING
    parts = [part.strip() for part in _SEPARATORS.split(text)]
    return Spans(tuple(_parse_span(part) for part in parts if part))


def _parse_span(text: str) -> tuple[float, float]:
    """Start and stop of one span, seconds."""
    match = _SPAN.fullmatch(text.translate(_DASHES))
    if match is None or not any(match.groups()):
        raise ValueError(f"Span {text!r} cannot be read. {_HOW_TO}")
    try:
        return float(match[1] or 0), float(match[2] or inf)
    except ValueError:
        raise ValueError(f"Span {text!r} is not made of numbers. {_HOW_TO}") from None


def _check(start: float, stop: float) -> None:
    """Reject a span that is no part of a clip."""
    text = _text(start, stop)
    if isnan(start) or isnan(stop) or start == inf:
        raise ValueError(f"Span {text!r} is not made of numbers. {_HOW_TO}")
    if start < 0 or stop < 0:
        raise ValueError(f"Span {text!r} begins or ends before 0. A clip begins at 0 seconds.")
    if start == stop:
        raise ValueError(f"Span {text!r} is empty: it stops where it starts. Leave it out, or give it a length.")
    if start > stop:
        raise ValueError(f"Span {text!r} ends before it starts. Write {_text(stop, start)!r}.")


def _text(start: float, stop: float) -> str:
    """Span in the form a user writes."""
    return f"{start:g}-" if stop == inf else f"{start:g}-{stop:g}"


def _first(seconds: float, rate: float, middle: float) -> float:
    """Index of the first step whose point ``middle`` is not before ``seconds``; infinite if ``seconds`` is."""
    return inf if seconds == inf else ceil(seconds * rate - middle - _TINY)


EVERYTHING = Spans(((0.0, inf),))
NOTHING = Spans()
