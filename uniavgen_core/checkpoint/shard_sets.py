"""Files of a checkpoint: a single one, or a folder of the release's shards with or without an index."""

import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from .checked_files import CheckpointError, is_file, opened, parse_object, read_text, require_file, shown

SHARDS = "diffusion_pytorch_model*.safetensors"
SUFFIX = ".safetensors"
INDEX_SUFFIX = ".safetensors.index.json"
INDEXES = f"diffusion_pytorch_model*{INDEX_SUFFIX}"
MOST_INDEX_BYTES = 1 << 24
"""The release's index has 0.2 MB."""
NAMES_SHOWN = 5
PREFIXES = ("model.diffusion_model.", "diffusion_model.")
NUMBERED = re.compile(r"(?P<stem>.+)-\d{5}-of-(?P<count>\d{5})\.safetensors")
Named = TypeVar("Named")


def strip_prefix(named: Mapping[str, Named]) -> dict[str, Named]:
    """Remove the prefix that merged checkpoints put before every name."""
    for prefix in PREFIXES:
        if any(name.startswith(prefix) for name in named):
            return {name.removeprefix(prefix): value for name, value in named.items()}
    return dict(named)


def files_of(path: Path) -> list[Path]:
    """Files of a checkpoint, in the order of their names.

    Args:
        path: A file, a folder of shards, or one of a set of numbered shards, which selects the whole set.

    Raises:
        CheckpointError: If the file does not exist, or shards are missing; the message names them.
    """
    if os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises where a folder on the way may not be read
        return _files_in(path)
    numbered = NUMBERED.fullmatch(path.name)
    if numbered:
        return _complete(path.parent, numbered["stem"])
    require_file(path)
    return [path]


def indexed_names(folder: Path, on_fault: Callable[[str], None] = lambda _: None) -> set[str]:
    """Tensor names of a folder of shards, from its index or else from the readable headers; may be empty.

    Args:
        folder: The folder; whatever lies in it, nothing is raised.
        on_fault: Called with the message of each file that cannot be read.
    """
    for index in _matches(folder, INDEXES):
        try:
            return set(strip_prefix(_weight_map(index)))
        except CheckpointError as error:
            on_fault(str(error))
    names: set[str] = set()
    for shard in _matches(folder, SHARDS):
        try:
            with opened(shard) as file:
                names |= set(file.keys())
        except CheckpointError as error:
            on_fault(str(error))
    return set(strip_prefix(dict.fromkeys(names)))


def _files_in(folder: Path) -> list[Path]:
    shards = _matches(folder, SHARDS)
    stems = {found["stem"] for found in _numbered(shards)}
    stems |= {index.name.removesuffix(INDEX_SUFFIX) for index in _matches(folder, INDEXES)}
    if not shards and not stems:
        raise CheckpointError(f"The folder {folder} holds no {SHARDS}. Choose the folder of the release's shards.")
    if len(stems) > 1:
        raise CheckpointError(f"The folder {folder} holds several sets: {', '.join(sorted(stems))}. Choose a shard.")
    return _complete(folder, stems.pop()) if stems else shards


def _numbered(files: Iterable[Path]) -> list[re.Match[str]]:
    return [found for file in files if (found := NUMBERED.fullmatch(file.name))]


def _complete(folder: Path, stem: str) -> list[Path]:
    """All shards of a set, by its index or else by the numbers in their names."""
    index = folder / f"{stem}{INDEX_SUFFIX}"
    if os.path.lexists(index):
        expected, source = set(_weight_map(index).values()), f"by {index.name}"
    else:
        counts = {found["count"] for found in _numbered(_matches(folder, f"*{SUFFIX}")) if found["stem"] == stem}
        if len(counts) != 1:
            raise CheckpointError(f"{folder} holds shards of {stem} from several sets, of {sorted(counts)}. Keep one.")
        count = counts.pop()
        expected = {f"{stem}-{number:05}-of-{count}.safetensors" for number in range(1, int(count) + 1)}
        source = "by the numbers in their names"
    missing = sorted(name for name in expected if not is_file(folder / name))
    if missing:
        more = f" and {len(missing) - NAMES_SHOWN} more" if len(missing) > NAMES_SHOWN else ""
        raise CheckpointError(
            f"{len(missing)} of {len(expected)} shards are missing from {folder}, {source}: "
            f"{', '.join(map(shown, missing[:NAMES_SHOWN]))}{more}. Fetch them from where the others came from."
        )
    return [folder / name for name in sorted(expected)]


def _weight_map(index: Path) -> dict[str, str]:
    """Tensor name to file name, from an index; its files are those of its own folder."""
    text = read_text(index, MOST_INDEX_BYTES)
    try:
        weight_map = parse_object(text, "it").get("weight_map")
    except CheckpointError as error:
        raise CheckpointError(f"{index.name} is not an index of shards: {error} Fetch it again.") from error
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(f"{index.name} is not an index of shards: it has no weight_map. Fetch it again.")
    strays = [name for name in weight_map.values() if not _is_file_name(name)]
    if strays:
        raise CheckpointError(
            f"{index.name} is not an index of shards: its weight_map names {shown(repr(strays[0]))}, which is not a "
            f"{SUFFIX} file of this folder. Fetch it again."
        )
    return weight_map


def _is_file_name(name: object) -> bool:
    """True if a value is the name of a safetensors file, which cannot lead out of a folder."""
    return isinstance(name, str) and name.endswith(SUFFIX) and not any(mark in name for mark in "/\\:\0")


def _matches(folder: Path, pattern: str) -> list[Path]:
    """Paths in a folder that match a pattern, in the order of their names; none if it cannot be read."""
    try:
        return sorted(folder.glob(pattern))
    except OSError:
        return []
