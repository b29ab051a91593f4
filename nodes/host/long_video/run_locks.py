"""Locks of the folders of long videos, which several ComfyUI servers with one output folder may share.

Whoever uses the segments in a folder keeps a file in it locked. The system unlocks it when the process ends, however it
ends, so that a lock never outlives its owner.
"""

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

ENDING = ".lock"
ATTEMPTS = 3
_OWN: set[Path] = set()


class RunLock:
    """A use of a run's folder: from its creation until ``release``."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"in_use_{os.getpid()}_{uuid4().hex[:8]}{ENDING}"
        self._file = _locked_file(self.path)
        _OWN.add(self.path)

    def release(self) -> None:
        """End the use; the folder goes too if nothing is in it."""
        self._file.close()
        _OWN.discard(self.path)
        with suppress(OSError):
            self.path.unlink()
            self.path.parent.rmdir()


def is_used(folder: Path) -> bool:
    """True if any process uses a run's folder, this one included; locks of ended processes are removed."""
    return used_here(folder) or used_elsewhere(folder)


def used_here(folder: Path) -> bool:
    """True if this process uses a run's folder."""
    return any(path.parent == folder for path in _OWN)


def used_elsewhere(folder: Path) -> bool:
    """True if another process uses a run's folder; locks of ended processes are removed."""
    return any(_is_locked(path) for path in folder.glob(f"*{ENDING}") if path not in _OWN)


def _locked_file(path: Path) -> BinaryIO:
    """A new file, locked. Another process that meets it before that takes it for a stale one, and removes it."""
    for _ in range(ATTEMPTS):
        file = path.open("wb")
        if _try_lock(file) and path.exists():
            return file
        file.close()
    return path.open("wb")  # where the system has no locks


def _is_locked(path: Path) -> bool:
    """True if a process has the file locked; a file that nobody has locked is removed."""
    try:
        with path.open("r+b") as file:
            if not _try_lock(file):
                return True
    except OSError:  # it has gone by now, or cannot be opened
        return path.exists()
    with suppress(OSError):
        path.unlink()
    return False


def _try_lock(file: BinaryIO) -> bool:
    """Lock a file; False if another has it locked. Where the system has no locks, every file counts as locked."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
