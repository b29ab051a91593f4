"""Opening and parsing of files that may be anything: damaged, hostile, or no files at all.

Every error is a ``CheckpointError`` that names the file and says what is wrong with it.
"""

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

HALF_WAY = "If it is a download, it may have stopped half way: fetch it again and compare its size."
MOST_HEADER_BYTES = 1 << 25
"""Most bytes of a safetensors header; the release's have 0.2 MB, and ComfyUI adds at most a workflow."""
SHOWN_CHARACTERS = 120
"""Most characters of a text from a file that a message repeats."""
KINDS = {
    stat.S_ISDIR: "a folder",
    stat.S_ISFIFO: "a pipe",
    stat.S_ISSOCK: "a socket",
    stat.S_ISCHR: "a device",
    stat.S_ISBLK: "a device",
}
"""Test of a file's mode to the name of what is no file."""
RAW_ERRORS = (
    ArithmeticError, AssertionError, AttributeError, LookupError, NotImplementedError, RecursionError, RuntimeError,
    TypeError, ValueError,
)  # fmt: skip
"""Errors of libraries that are given content they did not expect."""


class CheckpointError(ValueError):
    """A checkpoint file is damaged or does not fit the model."""


def is_file(path: Path) -> bool:
    """True if there is a regular file, through links; unlike ``Path.is_file``, this never raises."""
    return os.path.isfile(path)  # noqa: PTH113 - Path.is_file raises where a folder on the way may not be read


def require_file(path: Path) -> None:
    """Refuse what is not a regular file without opening it, because opening a pipe would block.

    Raises:
        CheckpointError: If there is no file, a broken link, a folder, a pipe, a socket or a device.
    """
    if is_file(path):
        return
    if not os.path.lexists(path):
        raise CheckpointError(f"There is no file {path}.")
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        if path.is_symlink():
            raise CheckpointError(
                f"{path.name} is a link to {shown(path.readlink())}, where no file can be found. Restore that file, "
                f"or put the file itself at {path}."
            ) from error
        raise CheckpointError(f"{path} cannot be read ({error}). Check its permissions.") from error
    kind = next((kind for test, kind in KINDS.items() if test(mode)), "something else")
    raise CheckpointError(f"{path} is {kind}, not a file. Remove it, and put the file there.")


@contextmanager
def opened(path: Path) -> Iterator[safe_open]:
    """Open a safetensors file, memory-mapped.

    Raises:
        CheckpointError: If it is no file, is empty or truncated, or is not safetensors.
    """
    require_file(path)
    try:
        with path.open("rb") as start:
            header_bytes = int.from_bytes(start.read(8), "little")
        is_long = MOST_HEADER_BYTES < header_bytes < path.stat().st_size
        file = None if is_long else safe_open(path, framework="pt")
    except (SafetensorError, OSError, ValueError) as error:
        raise damaged(path, error) from error
    if file is None:
        raise damaged(path, f"its header has {header_bytes} bytes, not at most {MOST_HEADER_BYTES}")
    with file:
        yield file


def size_in_words(path: Path) -> str:
    """Size of a file as text; never raises."""
    try:
        return f"its size is {path.stat().st_size} bytes"
    except OSError:
        return "its size is unknown"


def damaged(path: Path, error: Exception | str, form: str = "safetensors") -> CheckpointError:
    """Error for a file that cannot be read as ``form``."""
    return CheckpointError(f"{path.name} cannot be read as {form} ({shown(error)}); {size_in_words(path)}. {HALF_WAY}")


def read_text(path: Path, most_bytes: int) -> str:
    """Read a small text file.

    Args:
        path: The file.
        most_bytes: Most bytes that a sound file of its kind has.

    Raises:
        CheckpointError: If it is no file, cannot be read, is larger, or is not UTF-8.
    """
    require_file(path)
    try:
        with path.open("rb") as file:
            content = file.read(most_bytes + 1)
        if len(content) > most_bytes:
            raise CheckpointError(
                f"{path} is not the small text file that belongs there: it has more than {most_bytes} bytes. Get it "
                "again from its source."
            )
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{path} is not a text file ({error}). {HALF_WAY}") from error
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error}). Check its permissions and the disk.") from error


def parse_object(text: Any, subject: str) -> dict[str, Any]:
    """Parse a JSON object.

    Args:
        text: The JSON; anything but a string is refused.
        subject: What the text is, as the subject of a sentence.

    Raises:
        CheckpointError: If it is not JSON, is nested too deeply, or is not an object.
    """
    try:
        values = json.loads(text)
    except RecursionError as error:
        raise CheckpointError(f"{subject} is not JSON of this kind: it is nested too deeply.") from error
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{subject} is not JSON ({shown(error)}).") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{subject} is not a JSON object.")
    return values


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Name the file in errors about its content that do not, and turn errors of libraries into such errors.

    Raises:
        CheckpointError: In place of any error but one that names the file, and one about memory.
    """
    try:
        yield
    except RAW_ERRORS as error:
        is_ours = isinstance(error, CheckpointError)
        if "OutOfMemory" in type(error).__name__ or (is_ours and path.name in str(error)):
            raise
        if is_ours:
            raise type(error)(f"{path.name}: {error}") from error
        message = f"{type(error).__name__}: {error}" if isinstance(error, LookupError) else f"{error}"
        raise CheckpointError(
            f"{path.name} cannot be loaded: its content is not what a file of this kind has ({shown(message)}). Get "
            "the file again from its source, or choose another."
        ) from error


def shown(text: object) -> str:
    """Text of a file, or about it, as a message repeats it: on one line, printable, and not too long."""
    printable = "".join(
        character if character.isprintable() else " " for character in str(text)[: SHOWN_CHARACTERS * 4]
    )
    line = " ".join(printable.split())
    return line if len(line) <= 2 * SHOWN_CHARACTERS else f"{line[:SHOWN_CHARACTERS]}..."
