"""Lock that lets only one ``dev.py`` at a time change a cache folder."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .console import Console


@contextmanager
def only_one(cache: Path, console: Console) -> Iterator[None]:
    """Hold the cache's lock; the system releases it when this process ends in any way."""
    with (cache / "lock").open("a+b") as file:
        if not _try_lock(file.fileno()):
            console.line(f"Another dev.py is working in {cache}; waiting for it ...")
            _wait_lock(file.fileno())
        yield


if sys.platform == "win32":
    import msvcrt
    import time

    def _try_lock(descriptor: int) -> bool:
        os.lseek(descriptor, 0, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _wait_lock(descriptor: int) -> None:
        while not _try_lock(descriptor):
            time.sleep(1)
else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _wait_lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
