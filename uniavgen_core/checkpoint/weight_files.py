"""Files of a checkpoint, a single one or the release's shards, and reading of their tensors one at a time."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

SHARDS = "diffusion_pytorch_model*.safetensors"
INDEX_SUFFIX = ".safetensors.index.json"
INDEXES = f"diffusion_pytorch_model*{INDEX_SUFFIX}"
MAPPED_BYTES = 1 << 28
PREFIXES = ("model.diffusion_model.", "diffusion_model.")
NUMBERED = re.compile(r"(?P<stem>.+)-\d{5}-of-(?P<count>\d{5})\.safetensors")
DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "F8_E8M0": getattr(torch, "float8_e8m0fnu", torch.uint8),  # torch < 2.7 lacks it.
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
"""safetensors' names of dtypes."""
Named = TypeVar("Named")


class CheckpointError(ValueError):
    """A checkpoint file is damaged or does not fit the model."""


@dataclass(frozen=True)
class Entry:
    """Location and format of a stored tensor; ``stored_name`` is its name in the file."""

    file: Path
    stored_name: str
    dtype: torch.dtype
    shape: tuple[int, ...]


class WeightFiles:
    """The tensors of a checkpoint by name. Only headers are read until a tensor is requested.

    Attributes:
        files: The file, or the shards.
        entries: Tensor name, without the prefix of merged checkpoints, to its entry.
        metadata: Metadata of all files together.
    """

    def __init__(self, path: Path | str) -> None:
        """Read the headers of a safetensors file, a folder of shards, or the set that a numbered shard belongs to.

        Raises:
            CheckpointError: If a file does not exist, is empty, truncated or not safetensors, or if files disagree.
        """
        self.files = files_of(Path(path))
        self.entries: dict[str, Entry] = {}
        self.metadata: dict[str, str] = {}
        for file in self.files:
            self._read_header(file)
        self.entries = strip_prefix(self.entries)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Tensor name to shape."""
        return {name: entry.shape for name, entry in self.entries.items()}

    def tensors(self, names: list[str] | None = None) -> Iterator[tuple[str, Tensor]]:
        """Yield tensors in the order of ``names``, by default all; memory-mapped, with one open file at a time.

        The file is reopened after every ``MAPPED_BYTES``, so that pages already read do not count as used memory.
        """
        with ExitStack() as stack:
            current: Path | None = None
            file, mapped = None, 0
            for name in self.entries if names is None else names:
                entry = self.entries[name]
                if file is None or entry.file != current or mapped > MAPPED_BYTES:
                    stack.close()
                    current, file, mapped = entry.file, stack.enter_context(opened(entry.file)), 0
                yield name, file.get_tensor(entry.stored_name)
                mapped += entry.dtype.itemsize * torch.Size(entry.shape).numel()

    def _read_header(self, path: Path) -> None:
        with opened(path) as file:
            self.metadata |= file.metadata() or {}
            for name in file.keys():  # noqa: SIM118 - The file is not a mapping.
                if name in self.entries:
                    raise CheckpointError(
                        f"The tensor {name} is in {self.entries[name].file.name} and in {path.name}. "
                        "Keep one set of files in the folder."
                    )
                part = file.get_slice(name)
                dtype = part.get_dtype()
                if dtype not in DTYPES:
                    raise CheckpointError(f"{path.name}: the dtype {dtype} of {name} is not one this pack reads.")
                self.entries[name] = Entry(path, name, DTYPES[dtype], tuple(part.get_shape()))


def strip_prefix(named: Mapping[str, Named]) -> dict[str, Named]:
    """Remove the prefix that merged checkpoints put before every name."""
    for prefix in PREFIXES:
        if any(name.startswith(prefix) for name in named):
            return {name.removeprefix(prefix): value for name, value in named.items()}
    return dict(named)


@contextmanager
def opened(path: Path) -> Iterator[safe_open]:
    """Open a safetensors file, memory-mapped.

    Raises:
        CheckpointError: If it is empty, truncated, or not safetensors.
    """
    try:
        file = safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        raise damaged(path, error) from error
    with file:
        yield file


def damaged(path: Path, error: Exception, form: str = "safetensors") -> CheckpointError:
    """Error for a file that cannot be read as ``form``."""
    return CheckpointError(
        f"{path.name} cannot be read as {form} ({error}); its size is {path.stat().st_size} bytes. "
        "If it is a download, it may have stopped half way: fetch it again and compare its size."
    )


def files_of(path: Path) -> list[Path]:
    """Files of a checkpoint, in the order of their names.

    Args:
        path: A file, a folder of shards, or one of a set of numbered shards, which selects the whole set.

    Raises:
        CheckpointError: If the file does not exist, or shards are missing; the message names them.
    """
    if path.is_dir():
        return _files_in(path)
    numbered = NUMBERED.fullmatch(path.name)
    if numbered:
        return _complete(path.parent, numbered["stem"])
    if not path.is_file():
        raise CheckpointError(f"There is no file {path}.")
    return [path]


def indexed_names(folder: Path) -> set[str]:
    """Tensor names of a folder of shards, from its index or else from the readable headers; may be empty."""
    for index in sorted(folder.glob(INDEXES)):
        with suppress(CheckpointError):
            return set(strip_prefix(_weight_map(index)))
    names: set[str] = set()
    for shard in folder.glob(SHARDS):
        with suppress(CheckpointError), opened(shard) as file:
            names |= set(file.keys())
    return set(strip_prefix(dict.fromkeys(names)))


def _files_in(folder: Path) -> list[Path]:
    shards = sorted(folder.glob(SHARDS))
    stems = {found["stem"] for found in _numbered(shards)}
    stems |= {index.name.removesuffix(INDEX_SUFFIX) for index in folder.glob(INDEXES)}
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
    if index.is_file():
        expected, source = set(_weight_map(index).values()), f"by {index.name}"
    else:
        counts = {found["count"] for found in _numbered(folder.glob("*.safetensors")) if found["stem"] == stem}
        if len(counts) != 1:
            raise CheckpointError(f"{folder} holds shards of {stem} from several sets, of {sorted(counts)}. Keep one.")
        count = counts.pop()
        expected = {f"{stem}-{number:05}-of-{count}.safetensors" for number in range(1, int(count) + 1)}
        source = "by the numbers in their names"
    missing = sorted(name for name in expected if not (folder / name).is_file())
    if missing:
        raise CheckpointError(
            f"{len(missing)} of {len(expected)} shards are missing from {folder}, {source}: {', '.join(missing)}. "
            "Fetch them from where the others came from."
        )
    return [folder / name for name in sorted(expected)]


def _weight_map(index: Path) -> dict[str, str]:
    """Tensor name to file name, from an index."""
    try:
        weight_map = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        if not weight_map or any(Path(name).name != name for name in weight_map.values()):
            raise ValueError("its weight_map names no files of this folder")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{index.name} is not an index of shards ({error}). Fetch it again.") from error
    return dict(weight_map)
