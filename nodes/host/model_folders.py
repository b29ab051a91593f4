"""Names of files in ComfyUI's model folders.

ComfyUI asks every loader for its choices when it starts, and an error there leaves the pack without nodes. So what
cannot be read is left out, with one line in the log.
"""

import logging
import os
from collections import deque
from functools import cache
from pathlib import Path

import folder_paths

from ...uniavgen_core.checkpoint.checked_files import is_file


def names_in(key: str) -> list[str]:
    """File names of a model folder, relative to it; never raises.

    ComfyUI's cached list fails after one of its folders was removed, and is then made anew.

    Args:
        key: ComfyUI's name of the model folder.
    """
    try:
        return folder_paths.get_filename_list(key)
    except OSError:
        folder_paths.filename_list_cache.pop(key, None)
    try:
        return folder_paths.get_filename_list(key)
    except OSError as error:
        warn_once(f"The model folder {key} cannot be listed: {error}.")
        return []


def files_below(root: str) -> list[str]:
    """Names of all files below a folder, relative to it; never raises.

    Links to folders are followed, as ComfyUI does, but every folder is listed once: of links to folders above them,
    ComfyUI's own search follows every combination.
    """
    found: list[str] = []
    seen: set[tuple[int, int]] = set()
    waiting = deque([root])
    while waiting:
        for entry in _entries_of(waiting.popleft(), seen):
            if not _is_folder(entry):
                found.append(os.path.relpath(entry.path, root))
            elif entry.is_symlink():
                waiting.append(entry.path)
            elif entry.name != ".git":
                waiting.appendleft(entry.path)
    return found


def _entries_of(folder: str, seen: set[tuple[int, int]]) -> list[os.DirEntry]:
    """Entries of a folder by name; none of one that was seen before, under whatever name, or that cannot be listed."""
    try:
        status = Path(folder).stat()
        identity = (status.st_dev, status.st_ino)
        if identity in seen:
            return []
        seen.add(identity)
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except FileNotFoundError:
        return []
    except OSError as error:
        warn_once(f"The folder {folder} cannot be listed: {error}.")
        return []


def _is_folder(entry: os.DirEntry) -> bool:
    """True for a folder and for a link to one."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def path_of(key: str, name: str | None) -> Path | None:
    """Path of a file of a model folder; also of a broken link, so that its loader can say what is wrong.

    Args:
        key: ComfyUI's name of the model folder.
        name: Name of the file, from ``names_in``; it cannot lead out of the folder.
    """
    if not name:
        return None
    inside = os.path.relpath(os.path.join("/", name), "/")  # noqa: PTH118 - as ComfyUI's get_full_path
    paths = [Path(root, inside) for root in folder_paths.get_folder_paths(key)]
    there = [path for path in paths if os.path.lexists(path)]
    return next((path for path in there if is_file(path)), next(iter(there), None))


@cache
def warn_once(text: str) -> None:
    """Log a warning, once in a session."""
    logging.warning("UniAVGen: %s", text)
