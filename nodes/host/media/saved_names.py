"""Names and metadata of the files that the pack's nodes save in ComfyUI's output folder."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import folder_paths
from comfy.cli_args import args

from .disk_errors import NO_SPACE, naming_full_disk

SPACE = 32
"""Code of the first character that is no control character."""
RESERVED = ".partial"
"""Ending of empty files that reserve a name, the same as that of unfinished ones."""
LONGEST_NAME = 200
"""Bytes of a name, which leaves room for a number and an ending within the usual 255."""


def check_prefix(prefix: str) -> None:
    """Refuse the beginning of a name that no file in ComfyUI's output folder can have.

    Raises:
        ValueError: If it leads out of that folder, is too long or holds characters that names cannot have.
    """
    output, name = Path(folder_paths.get_output_directory()).resolve(), Path(prefix).name
    if any(ord(character) < SPACE for character in prefix):
        raise ValueError("filename_prefix holds characters that no file name can have. Type it again.")
    if len(name.encode()) > LONGEST_NAME:
        raise ValueError(f"filename_prefix is {len(name.encode())} bytes long; at most {LONGEST_NAME} are possible.")
    if not (output / prefix).resolve().is_relative_to(output):
        raise ValueError(
            "filename_prefix leads out of ComfyUI's output folder, where files must stay. Leave out '..' and a path "
            "from the root."
        )


@contextmanager
def free_path(prefix: str, size: Sequence[int], suffix: str) -> Iterator[tuple[Path, str]]:
    """Path with the next free file name, and its folder within ComfyUI's output folder.

    An empty file reserves the name until the block ends, so that another ComfyUI with the same output folder takes
    another one.

    Args:
        prefix: Folder and start of the name.
        size: Width and height of the pictures, pixels, for ``%width%`` and ``%height%``.
        suffix: Ending, with its dot.
    """
    output = folder_paths.get_output_directory()
    with naming_full_disk(Path(output, prefix), NO_SPACE):
        folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(prefix, output, *size)
        reserved = next(
            filter(_reserve, (Path(folder) / f"{name}_{number:05}_{RESERVED}" for number in count(counter)))
        )
    try:
        yield reserved.with_suffix(suffix), subfolder
    finally:
        reserved.unlink(missing_ok=True)


def _reserve(path: Path) -> bool:
    """Make an empty file; False if it is there, or one of the same name with any ending."""
    try:
        path.open("x").close()
    except FileExistsError:
        return False
    is_taken = any(other.name.startswith(path.stem) and other != path for other in path.parent.iterdir())
    if is_taken:
        path.unlink()
    return not is_taken


def workflow_tags(hidden) -> dict[str, str]:
    """Metadata that ComfyUI's own nodes save, such as the workflow; empty with --disable-metadata."""
    if args.disable_metadata or hidden is None:
        return {}
    values = dict(hidden.extra_pnginfo or {})
    if hidden.prompt is not None:
        values["prompt"] = hidden.prompt
    return {name: json.dumps(value) for name, value in values.items()}
