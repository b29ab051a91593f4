"""Names and metadata of the files that the pack's nodes save in ComfyUI's output folder."""

import json
from collections.abc import Sequence
from pathlib import Path

import folder_paths
from comfy.cli_args import args

SPACE = 32
"""Code of the first character that is no control character."""
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


def next_path(prefix: str, size: Sequence[int], suffix: str) -> tuple[Path, str]:
    """Path with the next free file name, and its folder within ComfyUI's output folder.

    Args:
        prefix: Folder and start of the name.
        size: Width and height of the pictures, pixels, for ``%width%`` and ``%height%``.
        suffix: Ending, with its dot.
    """
    output = folder_paths.get_output_directory()
    folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(prefix, output, *size)
    return Path(folder) / f"{name}_{counter:05}_{suffix}", subfolder


def workflow_tags(hidden) -> dict[str, str]:
    """Metadata that ComfyUI's own nodes save, such as the workflow; empty with --disable-metadata."""
    if args.disable_metadata or hidden is None:
        return {}
    values = dict(hidden.extra_pnginfo or {})
    if hidden.prompt is not None:
        values["prompt"] = hidden.prompt
    return {name: json.dumps(value) for name, value in values.items()}
