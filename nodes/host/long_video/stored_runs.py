"""Life cycle of the segments of long videos: one folder a run, in ComfyUI's output folder.

Segments stay while their run is unfinished, and while its video is in use. Once that has been saved and ComfyUI lets go
of it, they are deleted, unless the user wants to keep them. Several servers may share the folder: none deletes what
another one uses.
"""

import os
import shutil
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import folder_paths

from ..content_keys import UnidentifiedError, key_of
from ..media.disk_errors import NO_SPACE, naming_full_disk
from .run_locks import ENDING, RunLock, is_used, used_elsewhere
from .segment_store import PREFIX, FinishedSegments, SegmentStore

FOLDER = "uniavgen"
"""Within ComfyUI's output folder."""
CONTENT = "lossless files"
"""Version of the content of stored segments, a part of their key."""
_LOCK = threading.RLock()
_saved: set[Path] = set()


def runs_folder() -> Path:
    """Folder of the segments of all runs."""
    return Path(folder_paths.get_output_directory()) / FOLDER


def store_for(content: Callable[[], tuple[Any, ...]], start_over: bool = False) -> tuple[SegmentStore, list[str]]:
    """Store for the segments of a run, and notices.

    Args:
        content: Gives all that the segments are made from, besides their texts. Where that cannot be identified, the
            store is new, and no earlier segment is taken for one of this run.
        start_over: Whether to forget the run's earlier segments: they are deleted, or left to another server that uses
            them.
    """
    try:
        store, notices = SegmentStore(runs_folder(), key_of(CONTENT, *content())), []
    except UnidentifiedError as error:
        notices = [
            f"Earlier segments are not reused, and a stopped run cannot be resumed: {error} cannot be identified, so "
            "they might differ."
        ]
        return _new_store(), notices
    if start_over and used_elsewhere(store.folder):
        return _new_store(), ["Another ComfyUI uses the earlier segments of this video; they stay."]
    if start_over:
        store.clear()
    return store, notices


def _new_store() -> SegmentStore:
    """A store without segments, of a run that no other can be taken for."""
    return SegmentStore(runs_folder(), key_of(CONTENT, uuid4().hex))


def hold(segments: FinishedSegments) -> None:
    """Keep the files of segments for as long as these are in use."""
    folder = segments.store.folder
    with naming_full_disk(folder, NO_SPACE):
        lock = RunLock(folder)
    weakref.finalize(segments, _let_go, folder, lock)


def mark_saved(segments: FinishedSegments) -> None:
    """Let the files of segments be deleted once nobody uses them any more: their video has been saved."""
    with _LOCK:
        _saved.add(segments.store.folder)


def _let_go(folder: Path, lock: RunLock) -> None:
    with _LOCK:
        lock.release()
        if folder in _saved and not is_used(folder):
            _saved.discard(folder)
            shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class StoredRun:
    """The segments that one run has left.

    Attributes:
        folder: Its folder.
        segments: Number of segments.
        size: Bytes of all files.
        changed: Time of the last change, seconds since 1970.
        in_use: Whether a video that a ComfyUI holds reads from them.
    """

    folder: Path
    segments: int
    size: int
    changed: float
    in_use: bool

    def __str__(self) -> str:
        time = datetime.fromtimestamp(self.changed).strftime("%Y-%m-%d %H:%M")
        use = ", in use" if self.in_use else ""
        return f"{self.folder.name}: {self.segments} segments, {self.size / 2**20:.1f} MiB, {time}{use}"


def stored_runs() -> Iterator[StoredRun]:
    """All runs with segments on disk, the newest first."""
    found = []
    for folder in runs_folder().glob(f"{PREFIX}*"):
        stats = _files_in(folder)
        if stats:
            segments = sum(path.name.startswith("segment_") and path.suffix == ".mkv" for path, _ in stats)
            size, changed = sum(stat.st_size for _, stat in stats), max(stat.st_mtime for _, stat in stats)
            found.append(StoredRun(folder, segments, size, changed, is_used(folder)))
    return iter(sorted(found, key=lambda run: -run.changed))


def _files_in(folder: Path) -> list[tuple[Path, os.stat_result]]:
    """Files of a run that are no locks; another server may delete them at any moment."""
    found = []
    with suppress(OSError):
        for path in folder.iterdir():
            with suppress(FileNotFoundError):
                if path.is_file() and path.suffix != ENDING:
                    found.append((path, path.stat()))
    return found


def clear(runs: Iterator[StoredRun]) -> int:
    """Delete the segments of runs that are not in use; returns the bytes that this frees."""
    free = [run for run in runs if not run.in_use]
    for run in free:
        shutil.rmtree(run.folder, ignore_errors=True)
    return sum(run.size for run in free)
