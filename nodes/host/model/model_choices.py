"""Files that the loaders offer: the bundled ones, and files and folders of shards in ComfyUI's model folders."""

from fnmatch import fnmatch
from pathlib import Path, PurePath

import folder_paths

from ....uniavgen_core.checkpoint.config_from_weights import contents_of
from ....uniavgen_core.checkpoint.gguf_file import SUFFIX
from ....uniavgen_core.checkpoint.shard_sets import SHARDS, indexed_names
from ....uniavgen_core.checkpoint.umt5_files import RELEASED_FILE
from ..model_folders import files_below, names_in, path_of, warn_once

BUNDLED = "bundled_toon"
RELEASED = {"text_encoders": RELEASED_FILE, "vae": "Wan2.2_VAE.pth"}
"""Files that belong into other model folders, but that a download of the whole release leaves beside its model."""
MODELS = "diffusion_models"
FOLDER = "/ (folder)"
"""Suffix of the name under which a folder of shards is offered."""


def model_choices(folder: str, gguf: bool = False) -> list[str]:
    """Names that a loader offers: the bundled file, folders of shards, and single files.

    Files of the release are also offered if they lie beside its model, where a download of the whole leaves them.
    Nothing that lies in the folders raises an error here, because without the list the pack would have no nodes.

    Args:
        folder: ComfyUI model folder.
        gguf: Whether to offer GGUF files too.
    """
    names = [*names_in(folder), *(_gguf_files(folder) if gguf else ())]
    names += [name for name in _released_beside_model(folder) if name not in names]
    offered = [parent + FOLDER for parent, shard in _shard_folders(names).items() if _is_uniavgen(folder, shard)]
    return [BUNDLED, *offered, *names]


def path_of_choice(folder: str, name: str, bundled: Path | str = "") -> str:
    """Path of a file or a folder of shards that ``model_choices`` offers.

    Args:
        folder: ComfyUI model folder.
        name: Name from ``model_choices``.
        bundled: Path of the bundled file.

    Raises:
        FileNotFoundError: If the file has been removed since the list was made.
    """
    if name == BUNDLED:
        return str(bundled)
    if not name.endswith(FOLDER):
        path = path_of(folder, name)
        if path is None and name in _released_beside_model(folder):
            path = path_of(MODELS, name)
        return str(path or folder_paths.get_full_path_or_raise(folder, name))
    shard = path_of(folder, _shard_folders(names_in(folder)).get(name.removesuffix(FOLDER)))
    if shard is None:
        raise FileNotFoundError(f"The folder {name.removesuffix(FOLDER)} in {folder} holds no {SHARDS} any more.")
    return str(shard.parent)


def _released_beside_model(folder: str) -> list[str]:
    """Files of ``folder`` that lie beside the release's model instead."""
    file_name = RELEASED.get(folder)
    return [name for name in names_in(MODELS) if PurePath(name).name == file_name]


def _gguf_files(folder: str) -> list[str]:
    """GGUF files of a ComfyUI model folder, which ComfyUI itself does not list."""
    names: list[str] = []
    for root in folder_paths.get_folder_paths(folder):
        names += folder_paths.filter_files_extensions(files_below(root), {SUFFIX})
    return sorted(set(names) - set(names_in(folder)))


def _shard_folders(names: list[str]) -> dict[str, str]:
    """First shard of each folder of shards, by the folder's POSIX path within the model folder."""
    shards = [name for name in names if fnmatch(PurePath(name).name, SHARDS)]
    return {PurePath(shard).parent.as_posix(): shard for shard in sorted(shards, reverse=True)}


def _is_uniavgen(folder: str, shard: str) -> bool:
    """True if a folder of shards is the pack's; if it cannot be told because files are damaged, this is logged."""
    path, faults = path_of(folder, shard), []
    found = path is not None and contents_of(indexed_names(path.parent, faults.append)) is not None
    if faults and not found:
        warn_once(f"The folder of {path} is not offered in 'UniAVGen Load Model': {faults[0]}")
    return found
