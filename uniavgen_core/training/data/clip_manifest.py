"""A folder of clips with ``manifest.jsonl``, one JSON object a line.

Its fields are path, caption, transcript, speaker, and where they help span ([start, end], seconds) and language.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from .clip_decoding import decode_clip
from .clip_record import BadClipError, ClipRecord, ClipSource, Offer, Skipped, parse_record

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
    try:
        values = json.loads(line)
    except json.JSONDecodeError as error:
        raise BadClipError("bad line", f"{where}: this is not JSON ({error}).") from error
    return parse_record(values, where)
