"""One clip of a training set: its line in the manifest, its decoded form, and the fault of one that cannot be used.

Dimension key: F video frames, H rows, W columns, N samples.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import PurePosixPath
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from .clip_form import ClipForm

_TEXTS = ("caption", "transcript", "speaker")
_NAME_HASH = 10
_LONGEST_SECONDS = 1e6
"""End of the last span that a file can have, about twelve days."""


class BadClipError(ValueError):
    """The fault of a clip that cannot be used.

    Attributes:
        reason: Two words or three, the same for all clips with the same fault; what is counted.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class ClipRecord:
    """Description of a clip, known before its file is opened.

    Attributes:
        path: File, relative to its manifest; member of a shard; or ``toon`` and a seed.
        caption: How the scene looks.
        transcript: What is said.
        speaker: Who speaks; the same text for the same voice.
        language: Of the transcript, such as ``en``; empty where it is not told.
        span: Start and end in the file, seconds; None for all of it.
    """

    path: str
    caption: str
    transcript: str
    speaker: str
    language: str = ""
    span: tuple[float, float] | None = None

    @property
    def name(self) -> str:
        """Name of the encoded clip's file, without its ending: readable, and different for different parts."""
        place = f"{self.path}@{self.span}"
        stem = "".join(sign if sign.isalnum() and sign.isascii() else "_" for sign in PurePosixPath(self.path).stem)
        return f"{stem[:40]}-{sha256(place.encode()).hexdigest()[:_NAME_HASH]}"


@dataclass(frozen=True)
class DecodedClip:
    """Picture and sound of a clip as the network's geometry wants them.

    Attributes:
        frames: RGB at 16 fps, (F, H, W, 3) uint8; F is 4n + 1, the sides are multiples of 32. None for sound alone.
        waveform: Samples at 24 kHz, as long as the frames, peak 0.999146, (N,) float32.
        cut: Whether the clip goes on after its last frame here.
        face: Where faces are, nonzero inside, (F, H, W) uint8; None where that has to be found.
        mouth: Where mouths are, likewise; None where it is not known.
    """

    frames: np.ndarray | None
    waveform: Tensor
    cut: bool = False
    face: np.ndarray | None = None
    mouth: np.ndarray | None = None


@dataclass(frozen=True)
class Offer:
    """A clip that can be looked at.

    Attributes:
        record: What is known of it.
        where: Its place for messages, such as a file and a line.
        decode: Decodes it, or raises ``BadClipError``.
    """

    record: ClipRecord
    where: str
    decode: Callable[[ClipForm], DecodedClip]


@dataclass(frozen=True)
class Skipped:
    """A clip that is left out.

    Attributes:
        where: Its place, such as a file and a line.
        reason: What is counted.
        message: What is wrong and what to do.
    """

    where: str
    reason: str
    message: str


class Job(Protocol):
    """A piece of a source that one process works through."""

    def clips(self) -> Iterator[Offer | Skipped]:
        """Yield the piece's clips."""
        ...


@dataclass(frozen=True)
class ClipSource:
    """Clips in pieces.

    Attributes:
        place: Where they come from; encoded clips of two places do not share a folder.
        jobs: The pieces.
        skipped: What was left out when the pieces were listed.
        count: How many clips there are in the pieces; None if that is not known before they are read.
    """

    place: str
    jobs: tuple[Job, ...]
    skipped: tuple[Skipped, ...] = ()
    count: int | None = None

    def part(self, index: int, count: int) -> "ClipSource":
        """Every ``count``-th piece from ``index`` on, counted from 0; only the first part has what was left out."""
        jobs = self.jobs[index::count]
        clips = None if self.count is None else len(jobs)
        return ClipSource(self.place, jobs, self.skipped if index == 0 else (), clips)


def parse_json(text: str | bytes, where: str) -> Any:
    """Read a value of JSON.

    Args:
        text: The JSON.
        where: Its file and line, for messages.

    Raises:
        BadClipError: If it is not JSON, not UTF-8, or nested too deeply.
    """
    try:
        return json.loads(text)
    except ValueError as error:
        raise BadClipError("bad line", f"{where}: this is not JSON ({error}).") from error
    except RecursionError as error:
        raise BadClipError("bad line", f"{where}: this is nested too deeply.") from error


def parse_record(values: Any, where: str, path: str | None = None) -> ClipRecord:
    """Check one clip's fields; fields that are not known here are left alone.

    Args:
        values: What a line of JSON holds.
        where: Its file and line, for messages.
        path: The clip's path where the line need not name it.

    Raises:
        BadClipError: If a field is missing, of the wrong type, or empty; names place and field.
    """
    if not isinstance(values, Mapping):
        raise BadClipError("bad line", f"{where}: a clip is a JSON object with path, caption and so on.")
    path = _text(values if path is None else {"path": path}, "path", where)
    texts = {name: _text(values, name, where) for name in _TEXTS}
    for name in ("path", "speaker"):
        if not {"path": path, **texts}[name].strip():
            raise BadClipError("bad line", f"{where}: {name} is empty. Fill it in.")
    if not texts["transcript"].strip():
        raise BadClipError("no transcript", f"{where}: transcript is empty; the network learns speech from its text.")
    language = _text({"language": "", **values}, "language", where)
    return ClipRecord(path, **texts, language=language, span=_span(values.get("span"), where))


def _text(values: Mapping[str, Any], name: str, where: str) -> str:
    if name not in values:
        raise BadClipError("bad line", f"{where}: {name} is missing. Add it.")
    if not isinstance(values[name], str):
        raise BadClipError("bad line", f"{where}: {name} is {values[name]!r:.80}; it must be text in quotes.")
    if "\0" in values[name] or any("\ud800" <= sign <= "\udfff" for sign in values[name]):
        raise BadClipError("bad line", f"{where}: {name} holds characters that no text has. Type it again.")
    return values[name]


def _span(span: Any, where: str) -> tuple[float, float] | None:
    if span is None:
        return None
    numbers = isinstance(span, list) and len(span) == 2 and all(type(value) in (int, float) for value in span)
    if not numbers or not 0 <= span[0] < span[1] <= _LONGEST_SECONDS:
        raise BadClipError(
            "bad line",
            f"{where}: span is {span!r:.80}; it must be [start, end] in seconds, 0 <= start < end <= 1000000.",
        )
    return float(span[0]), float(span[1])
