"""Errors of a disk that cannot be written to, in words for the user."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NO_SPACE = "the file cannot be saved. Free some space and run the same graph again."
"""Need of a file whose size is not known before."""
FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def naming_full_disk(path: Path, need: str) -> Iterator[None]:
    """Turn an error of writing a file into one that names the place, the need and the cure.

    Args:
        path: The file.
        need: Clause about what does not fit, and a sentence about what to do, for a disk that is full.

    Raises:
        ValueError: If the block raises an ``OSError``, such as because the disk is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise ValueError(f"The disk of {path.parent} is full: {need}") from error
        raise ValueError(f"{path} cannot be written ({error}). Check that ComfyUI may write to this folder.") from error
