"""Files that are whole or not there: written under another name, then moved over the old one."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Temporary path to write a file to, which gets its own name when the block ends without an error.

    After an error the temporary file is gone and an old file at ``path`` is as it was. Nothing is forced to the disk:
    this guards against a program that stops, not against a power failure.

    Args:
        path: The file to write; its folder exists, and one process writes it at a time.

    Yields:
        ``path`` with the ending ``.partial`` added.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
