"""Saved latents in ComfyUI's input and output folders, under the names by which its own loaders know such files.

ComfyUI asks for the list when it starts and before every run, so nothing that lies in the folders may raise an error
or block here.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import folder_paths

from ...uniavgen_core.checkpoint.checked_files import CheckpointError, shown
from .model_folders import warn_once

SUFFIX = ".safetensors"
IN_OUTPUT = " [output]"
"""ComfyUI's mark after the name of a file of its output folder; files of the input folder have their plain name."""


def latent_choices() -> list[str]:
    """Names of all safetensors files of both folders and their subfolders, the newest first; no file is opened."""
    folders = {"": folder_paths.get_input_directory(), IN_OUTPUT: folder_paths.get_output_directory()}
    found = [(changed, name + note) for note, root in folders.items() for changed, name in _files_below(root)]
    return [name for _, name in sorted(found, reverse=True)]


def name_in_output(path: Path) -> str:
    """Name under which ``latent_choices`` offers a file of the output folder."""
    return path.resolve().relative_to(Path(folder_paths.get_output_directory()).resolve()).as_posix() + IN_OUTPUT


def path_of_latent(name: str) -> Path:
    """Path of a file that ``latent_choices`` offers.

    Raises:
        CheckpointError: If the file is gone, or the name leads out of the folders.
    """
    try:
        path = Path(folder_paths.get_annotated_filepath(name))
    except ValueError as error:
        raise CheckpointError(
            f"{shown(name)} is not in ComfyUI's input or output folder. Choose a file from the list."
        ) from error
    if not os.path.lexists(path) or path.is_dir():
        raise CheckpointError(f"There is no file '{shown(name)}'. Press R to refresh the list, and choose another.")
    return path


def _files_below(root: str) -> Iterator[tuple[int, str]]:
    """Time of the last change, in nanoseconds, and name within ``root`` of each file that may be a latent."""
    for entry in _entries_below(root):
        if not entry.name.endswith(SUFFIX):
            continue
        name = Path(entry.path).relative_to(root).as_posix()
        try:
            name.encode()
            status = entry.stat()
        except (UnicodeEncodeError, OSError):  # a name that safetensors cannot open; a link that leads to no file
            continue
        if stat.S_ISREG(status.st_mode) and folder_paths.is_within_directory(root, entry.path):
            yield status.st_mtime_ns, name


def _entries_below(root: str) -> Iterator[os.DirEntry]:
    """Everything below a folder; links to folders are not followed, because they may go in circles."""
    folders = [root]
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(folder) as entries:
                found = list(entries)
        except FileNotFoundError:
            continue
        except OSError as error:
            warn_once(f"The folder {folder} cannot be listed: {error}.")
            continue
        folders += [entry.path for entry in found if _is_folder(entry)]
        yield from found


def _is_folder(entry: os.DirEntry) -> bool:
    """True for a folder, but not for a link to one."""
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False
