"""Files that are whole or not there: written under another name, then moved over the old one."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Temporary path to write a file to, which gets its own name when the block ends without an error.

    After an error the temporary file is gone and an old file at ``path`` is as it was. The file is on the disk before
    it gets its name, so that neither a program that stops nor a power failure leaves half of it.

    Args:
        path: The file to write; its folder exists. Of several writers, the last one's file stays.

    Yields:
        ``path`` with a random part and the ending ``.partial`` added.
    """
    partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}.partial")
    try:
        yield partial
        force_to_disk(partial)
        partial.replace(path)
        force_to_disk(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def force_to_disk(path: Path) -> None:
    """Wait until the content of a file, or the names in a folder, are on the disk; Windows opens no folders."""
    if path.is_dir() and os.name == "nt":
        return
    number = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(number)
    finally:
        os.close(number)
