"""Names of files in ComfyUI's model folders.

ComfyUI asks every loader for its choices when it starts, and an error there leaves the pack without nodes. So what
cannot be read is left out, with one line in the log.
"""

import logging
import os
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
    """Names of all files below a folder, relative to it; never raises."""
    try:
        return folder_paths.recursive_search(root, excluded_dir_names=[".git"])[0]
    except OSError as error:
        warn_once(f"The folder {root} cannot be listed: {error}.")
        return []


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
