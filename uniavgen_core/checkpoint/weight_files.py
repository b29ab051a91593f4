"""Reading of a checkpoint's tensors, from a single file or the release's shards, one at a time."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from .checked_files import CheckpointError, opened, shown
from .shard_sets import files_of, strip_prefix

MAPPED_BYTES = 1 << 28
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
                        f"The tensor {shown(name)} is in {self.entries[name].file.name} and in {path.name}. "
                        "Keep one set of files in the folder."
                    )
                part = file.get_slice(name)
                dtype = part.get_dtype()
                if dtype not in DTYPES:
                    raise CheckpointError(
                        f"{path.name}: the dtype {dtype} of {shown(name)} is not one this pack reads."
                    )
                self.entries[name] = Entry(path, name, DTYPES[dtype], tuple(part.get_shape()))
