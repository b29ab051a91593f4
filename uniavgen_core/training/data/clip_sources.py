"""Sources of clips: a folder with a manifest, tar shards, or a Python package that makes them.

A manifest has one JSON object a line with path, caption, transcript, speaker, and where they help span ([start, end],
seconds) and language.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ..plugins import attribute_of
from .clip_decoding import decode_clip
from .clip_record import BadClipError, ClipRecord, ClipSource, Offer, Skipped, parse_json, parse_record
from .webdataset_shards import open_shards

MANIFEST = "manifest.jsonl"


@dataclass(frozen=True)
class FileJob:
    """One clip of a folder.

    Attributes:
        record: Its line.
        file: The file.
        where: The line's place.
    """

    record: ClipRecord
    file: Path
    where: str

    def clips(self) -> Iterator[Offer | Skipped]:
        """Yield the clip."""
        yield Offer(self.record, self.where, partial(decode_clip, self.file, self.record.span))


def open_source(text: str) -> ClipSource:
    """Open what a command line names.

    Args:
        text: A folder with ``manifest.jsonl`` or the manifest itself; a path of tar shards, with braces for several;
            or ``PACKAGE:REST`` for a Python package whose ``open_clips(REST)`` gives a ``ClipSource``, such as
            ``toon:COUNT[:FIRST_SEED]``.

    Raises:
        ImportError: If shards are named and ``webdataset`` is not installed.
        ValueError: If there is nothing there that can be read; says what to write.
    """
    package, colon, rest = text.partition(":")
    open_clips = attribute_of(package, "open_clips") if colon else None
    if open_clips is not None:
        return open_clips(rest)
    if text.endswith(".tar"):
        return open_shards(text)
    path = Path(text)
    if not path.exists():
        raise ValueError(
            f"{text} is not there. Name a folder with a manifest.jsonl, tar shards such as clips/{{000..009}}.tar, or "
            "(in a clone of the repository) toon:COUNT."
        )
    return open_manifest(path)


def open_manifest(path: Path) -> ClipSource:
    """List the clips of a manifest; lines that cannot be used are left out and told.

    Args:
        path: The manifest, or its folder.

    Raises:
        ValueError: If there is no manifest, or it is not UTF-8.
    """
    file = path / MANIFEST if path.is_dir() else path
    if not file.is_file():
        raise ValueError(
            f"{path} has no {MANIFEST}. Write one: a JSON object a line with path, caption, transcript and speaker."
        )
    jobs, skipped, seen = [], [], {}
    for where, line in _lines(file):
        try:
            record = _record(line, where)
            if record.name in seen:
                raise BadClipError("repeated line", f"{where}: the same path and span are in {seen[record.name]}.")
            seen[record.name] = where
            jobs.append(FileJob(record, file.parent / record.path, where))
        except BadClipError as error:
            skipped.append(Skipped(where, error.reason, str(error)))
    return ClipSource(file.parent.resolve().as_posix(), tuple(jobs), tuple(skipped), len(jobs))


def _lines(file: Path) -> Iterator[tuple[str, str]]:
    """Place and text of every line that is not empty."""
    try:
        with file.open(encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield f"{file.name}, line {number}", line
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is not UTF-8 ({error}). Save it as UTF-8.") from error


def _record(line: str, where: str) -> ClipRecord:
    return parse_record(parse_json(line, where), where)
