"""GGUF files: tensors in block formats, read and written one at a time through the ``gguf`` package.

Shapes of more than four axes are stored as metadata, under the key that ComfyUI's GGUF nodes use too.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from math import prod
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..atomic_write import atomic_write
from .checked_files import RAW_ERRORS, CheckpointError, damaged, naming, parse_object, shown
from .gguf_header import check_gguf_header
from .gguf_quants import BlockKind, unpack
from .shard_sets import strip_prefix
from .weight_files import Entry
from .write_safetensors import OnBytes

SUFFIX = ".gguf"
ARCHITECTURE = "uniavgen"
METADATA_KEY = "uniavgen.metadata"
"""Key of the metadata that a safetensors file would have, as JSON."""
SHAPE_KEY = "comfy.gguf.orig_shape."
MOST_AXES = 4
LARGEST_RANK = 8
"""Most axes of any shape in the metadata."""
PLAIN = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


class GgufFile:
    """A GGUF file, memory-mapped.

    Attributes:
        files: The file, as a list of one.
        entries: Tensor name, without the prefix of merged checkpoints, to its entry; packed tensors have dtype uint8.
        shapes: Tensor name to its shape in the network.
        kinds: Tensor name to block format; only packed tensors.
        metadata: Metadata as in a safetensors file.
    """

    def __init__(self, path: Path) -> None:
        """Read the header.

        Raises:
            CheckpointError: If the file does not exist, is truncated, is not GGUF, or has an unknown block format.
            ImportError: If the package ``gguf`` is not installed.
        """
        gguf = _load_gguf()
        check_gguf_header(path)
        try:
            reader = gguf.GGUFReader(path, "c")
        except (OSError, *RAW_ERRORS) as error:
            raise damaged(path, error, "GGUF") from error
        self.files = [path]
        self._tensors = tensors = strip_prefix({tensor.name: tensor for tensor in reader.tensors})
        with naming(path):
            self.metadata = _metadata(reader)
            packed = {name: tensor for name, tensor in tensors.items() if tensor.tensor_type.name not in PLAIN}
            self.kinds = {name: _kind(tensor) for name, tensor in packed.items()}
            self.shapes = {name: _shape(reader, tensor) for name, tensor in tensors.items()}
        self.entries = {
            name: Entry(path, tensor.name, PLAIN.get(tensor.tensor_type.name, torch.uint8), self.shapes[name])
            for name, tensor in tensors.items()
        }

    def stored(self, name: str) -> Tensor:
        """Tensor as stored: a plain one in its shape, a packed one as bytes, (rows, bytes)."""
        data, dtype = torch.from_numpy(self._tensors[name].data), self.entries[name].dtype
        if name in self.kinds:
            return data.view(data.shape[0], -1)
        return data.view(dtype).view(self.shapes[name])

    def tensor(self, name: str) -> Tensor:
        """Tensor in its shape; a packed one is unpacked to float32."""
        stored = self.stored(name)
        return unpack(stored, self.kinds[name]).view(self.shapes[name]) if name in self.kinds else stored

    def tensors(self, names: list[str] | None = None) -> Iterator[tuple[str, Tensor]]:
        """Yield tensors in the order of ``names``, by default all."""
        for name in self.entries if names is None else names:
            yield name, self.tensor(name)


def write_gguf(
    path: Path,
    tensors: Iterable[tuple[str, Tensor]],
    layout: Mapping[str, tuple[tuple[int, ...], str]],
    metadata: Mapping[str, str],
    on_bytes: OnBytes,
) -> None:
    """Write a GGUF file; it is renamed to ``path`` when it is complete.

    Args:
        path: The file to write.
        tensors: Names and tensors in the layout's order, packed ones as bytes. They are consumed one at a time.
        layout: Tensor name to its shape in the network and the GGUF name of its type.
        metadata: Metadata as in a safetensors file.
        on_bytes: Progress callback.
    """
    gguf = _load_gguf()
    writer = gguf.GGUFWriter(None, ARCHITECTURE)
    writer.add_string(METADATA_KEY, json.dumps(dict(metadata)))
    total = sum(_declare(gguf, writer, name, *entry) for name, entry in layout.items())
    done = 0
    with atomic_write(path) as partial, closing(writer):
        writer.write_header_to_file(partial)
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for _, tensor in tensors:
            data = tensor.contiguous().reshape(-1).view(torch.uint8).numpy()
            writer.write_tensor_data(data)
            done += len(data)
            on_bytes(done, total)


def _load_gguf() -> ModuleType:
    """Import the optional package that reads and writes GGUF."""
    try:
        import gguf
    except ImportError as error:
        raise ImportError("GGUF files need the package gguf: pip install gguf") from error
    return gguf


def _declare(gguf: ModuleType, writer: Any, name: str, shape: tuple[int, ...], kind: str) -> int:
    """Declare a tensor to the writer, and return its size in bytes."""
    if len(shape) > MOST_AXES:
        writer.add_array(SHAPE_KEY + name, list(shape))
        shape = (shape[0], int(np.prod(shape[1:])))
    form = gguf.GGMLQuantizationType[kind]
    size = int(np.prod(gguf.quant_shape_to_byte_shape(shape, form)))
    writer.add_tensor_info(name, shape, np.dtype(np.float16), size, raw_dtype=form)
    return size


def _kind(tensor: Any) -> BlockKind:
    name = tensor.tensor_type.name
    if name not in BlockKind.__members__:
        known = ", ".join([*BlockKind.__members__, *PLAIN])
        raise CheckpointError(f"{shown(tensor.name)} is {name}, which this pack does not read. It reads {known}.")
    return BlockKind[name]


def _shape(reader: Any, tensor: Any) -> tuple[int, ...]:
    """Shape of a tensor in the network; that of more than four axes is in the metadata."""
    stored = tuple(int(size) for size in reversed(tensor.shape))
    field = reader.get_field(SHAPE_KEY + tensor.name)
    if field is None:
        return stored
    shape = field.contents()
    is_shape = isinstance(shape, list) and all(type(size) is int and size > 0 for size in shape)
    if not is_shape or len(shape) > LARGEST_RANK or prod(shape) != prod(stored):
        raise CheckpointError(
            f"By its metadata {shown(tensor.name)} has the shape {shown(repr(shape))}; {stored} are stored. Get the "
            "file again from its source."
        )
    return tuple(shape)


def _metadata(reader: Any) -> dict[str, str]:
    field = reader.get_field(METADATA_KEY)
    values = parse_object(field.contents(), f"The entry {METADATA_KEY}") if field else {}
    if not all(isinstance(value, str) for value in values.values()):
        raise CheckpointError(f"The entry {METADATA_KEY} must be texts by name. Get the file again from its source.")
    return values
