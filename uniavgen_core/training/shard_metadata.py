"""Metadata of sharded tensors, a pickle of PyTorch's, read without running code in it.

PyTorch itself loads it, and values beside the tensors, with the plain ``pickle``, so that whoever gives a checkpoint
away could run code.
"""

import pickle
from io import BytesIO
from pathlib import Path, PurePath
from typing import Any

import torch
from torch.distributed.checkpoint.metadata import Metadata, TensorStorageMetadata

NAME = ".metadata"
"""Name that PyTorch gives the file."""
OF_METADATA = "torch.distributed.checkpoint.metadata"
PLAIN = {
    ("torch", "Size"),
    ("torch.serialization", "_get_layout"),
    ("torch.distributed.checkpoint.filesystem", "_StorageInfo"),
    ("collections", "OrderedDict"),
    *(("pathlib", kind) for kind in ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")),
    *((OF_METADATA, kind) for kind in (
        "BytesStorageMetadata", "ChunkStorageMetadata", "Metadata", "MetadataIndex", "StorageMeta", "TensorProperties",
        "TensorStorageMetadata", "_MEM_FORMAT_ENCODING",
    )),
}  # fmt: skip
"""All that metadata refers to besides dtypes, name by name: a whole module would let through what it imports, such as
``os``."""
DAMAGED = (
    pickle.UnpicklingError, ArithmeticError, AttributeError, EOFError, ImportError, LookupError, MemoryError, OSError,
    RuntimeError, TypeError, ValueError,
)  # fmt: skip
"""Errors with which damaged metadata and shards end."""


class _PlainUnpickler(pickle.Unpickler):
    """Makes what describes tensors, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        is_dtype = module == "torch" and isinstance(getattr(torch, name, None), torch.dtype)
        if is_dtype or (module, name) in PLAIN:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it refers to {module}.{name}, which could run code; it was not run")


def check_shards(folder: Path) -> dict[str, TensorStorageMetadata]:
    """Check the metadata of sharded tensors before PyTorch loads it.

    Args:
        folder: The folder of the shards.

    Returns:
        Metadata of each tensor.

    Raises:
        ValueError: If it is missing, damaged, refers to anything that could run code, to files elsewhere, or to more
            than the folder holds; names the file.
    """
    path, metadata = folder / NAME, None
    try:
        with path.open("rb") as file:
            metadata = _PlainUnpickler(file).load()
        fault = _fault_of(metadata, folder)
        if not fault:
            _check_plain_values(metadata, folder)
    except DAMAGED as error:
        fault = str(error) or type(error).__name__
    if fault or metadata is None:
        raise ValueError(f"{path} cannot be read: {fault}.") from None
    entries = metadata.state_dict_metadata
    return {name: entry for name, entry in entries.items() if isinstance(entry, TensorStorageMetadata)}


def check_all_shards(checkpoint: Path) -> None:
    """Check the metadata of every folder of shards in a checkpoint, as ``check_shards`` does."""
    for path in sorted(checkpoint.rglob(NAME)):
        check_shards(path.parent)


def _check_plain_values(metadata: Metadata, folder: Path) -> None:
    """Read all that is no tensor, such as an optimizer's rates, as PyTorch reads weights.

    PyTorch itself would unpickle it with whatever code it refers to.

    Raises:
        pickle.UnpicklingError: If it refers to code.
    """
    for index, info in metadata.storage_data.items():
        if isinstance(metadata.state_dict_metadata.get(index.fqn), TensorStorageMetadata):
            continue
        with (folder / info.relative_path).open("rb") as file:
            file.seek(info.offset)
            content = BytesIO(file.read(info.length))
        try:
            torch.load(content, weights_only=True)
        except pickle.UnpicklingError as error:  # whose message advises to load it all the same
            raise pickle.UnpicklingError(f"its value {index.fqn} could run code; it was not run") from error


def _fault_of(metadata: Any, folder: Path) -> str | None:
    """Fault of metadata that was read without error; None if it has none."""
    if not isinstance(metadata, Metadata):
        return "it describes no tensors"
    names = {info.relative_path for info in metadata.storage_data.values()}
    outside = sorted(name for name in names if PurePath(name).name != name)
    if outside:
        return f"it names {outside[0]}, which lies outside of its folder"
    tensors = [entry for entry in metadata.state_dict_metadata.values() if isinstance(entry, TensorStorageMetadata)]
    if any(not isinstance(name, str) for name in metadata.state_dict_metadata) or any(
        length < 0 for entry in tensors for length in entry.size
    ):
        return "it describes tensors that cannot be"
    needed = sum(entry.size.numel() * entry.properties.dtype.itemsize for entry in tensors)
    held = sum(path.stat().st_size for path in folder.iterdir())
    if needed > held:
        return f"its tensors take {needed} bytes, and the folder holds {held}"
    return None
