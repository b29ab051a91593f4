"""WebDataset shards: tar files whose samples hold a clip (mp4, or mp3 for sound alone) and json with its fields.

Shards are read from disk only, by the package ``webdataset``, and whole: a process works through a shard of its own.
"""

import io
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from .clip_decoding import DecodedClip, decode_clip
from .clip_form import ClipForm
from .clip_record import BadClipError, ClipSource, Offer, Skipped, parse_json, parse_record

DAMAGED = (tarfile.TarError, ArithmeticError, EOFError, LookupError, OSError, RuntimeError, TypeError, ValueError)
"""Errors with which damaged archives end; webdataset raises ValueError for samples it cannot put together."""
CONTAINERS = ("mp4", "mov", "mkv", "webm", "avi", "m4v", "mp3", "flac", "wav", "ogg", "m4a")


@dataclass(frozen=True)
class ShardJob:
    """One shard.

    Attributes:
        file: The tar file.
    """

    file: Path

    def clips(self) -> Iterator[Offer | Skipped]:
        """Yield the shard's clips in their order; what is behind a damaged place is left out."""
        _webdataset()
        from webdataset.tariterators import group_by_keys

        try:
            for sample in group_by_keys(self._members()):
                yield self._offer(sample)
        except DAMAGED as error:
            message = f"{self.file.name} is damaged: {error}. The clips before that place are used; make it again."
            yield Skipped(self.file.name, "damaged shard", message)

    def _members(self) -> Iterator[dict[str, Any]]:
        """Yield the files of the shard as webdataset groups them; what is no file in it is left out."""
        largest = self.file.stat().st_size
        with self.file.open("rb") as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
            for member in tar:
                if member.size > largest:
                    raise tarfile.ReadError(f"{member.name[:80]!r} claims {member.size} bytes, more than the shard has")
                content = tar.extractfile(member) if member.isreg() else None
                if content is not None:
                    yield {"fname": member.name, "data": content.read(), "__url__": self.file.name}

    def _offer(self, sample: Mapping[str, Any]) -> Offer | Skipped:
        where = f"{self.file.name}, sample {sample['__key__']}"
        try:
            values = parse_json(sample["json"], where)
            container = next(ending for ending in CONTAINERS if ending in sample)
            record = parse_record(values, where, f"{self.file.name}/{sample['__key__']}.{container}")
        except KeyError:
            return Skipped(where, "bad line", f"{where}: it holds no json beside the clip. Add one with the fields.")
        except StopIteration:
            kinds = ", ".join(CONTAINERS)
            return Skipped(where, "missing file", f"{where}: it holds no clip ({kinds}). Add one under the same key.")
        except BadClipError as error:
            return Skipped(where, error.reason, str(error))
        return Offer(record, where, partial(_decode, sample[container], record.span))


def _decode(content: bytes, span: tuple[float, float] | None, form: ClipForm) -> DecodedClip:
    return decode_clip(io.BytesIO(content), span, form)


def open_shards(pattern: str) -> ClipSource:
    """List shards.

    Args:
        pattern: Path of the tar files, with braces for several: ``clips/{000..012}.tar``.

    Raises:
        ImportError: If ``webdataset`` is not installed.
        ValueError: If the pattern is not of files on disk, or one of them is missing.
    """
    if pattern.startswith("pipe:") or "://" in pattern:
        raise ValueError(f"{pattern} is not a path. Shards are read from disk only; fetch them first.")
    _webdataset()
    from webdataset.shardlists import expand_urls

    files = [Path(path) for path in expand_urls(pattern)]
    missing = [str(file) for file in files if not file.is_file()]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise ValueError(f"The shard {missing[0]}{more} is not there. Check the pattern {pattern}.")
    return ClipSource(files[0].parent.resolve().as_posix(), tuple(map(ShardJob, files)))


def _webdataset() -> Any:
    try:
        import webdataset
    except ImportError as error:
        raise ImportError(
            "Reading tar shards needs the package webdataset: python -m pip install webdataset"
        ) from error
    return webdataset
