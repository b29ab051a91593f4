"""Writing of safetensors files tensor by tensor, so that a 14 GB model is never in memory as a whole.

The header is written here, because the writers of safetensors take all tensors in one call, so computed tensors would
all be in memory. Source: the format's description in the documentation of safetensors.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from itertools import accumulate
from pathlib import Path

import torch
from torch import Tensor

from ..atomic_write import atomic_write
from .checked_files import CheckpointError
from .weight_files import DTYPES

Layout = Mapping[str, tuple[torch.dtype, tuple[int, ...]]]
OnBytes = Callable[[int, int], None]
"""Progress callback: bytes done, total bytes."""
DTYPE_NAMES = {dtype: name for name, dtype in DTYPES.items()}
ALIGNMENT = 8


def silent(done: int, total: int) -> None:
    """Discard progress."""
    del done, total


def ordered(layout: Layout) -> dict[str, tuple[torch.dtype, tuple[int, ...]]]:
    """Sort tensors by falling element size, so that each begins at a multiple of its element size."""
    return dict(sorted(layout.items(), key=lambda item: -item[1][0].itemsize))


def size_of(dtype: torch.dtype, shape: tuple[int, ...]) -> int:
    """Bytes of a tensor."""
    return dtype.itemsize * torch.Size(shape).numel()


def write_stream(
    path: Path, layout: Layout, tensors: Iterable[tuple[str, Tensor]], metadata: Mapping[str, str], on_bytes: OnBytes
) -> None:
    """Write a safetensors file; it is renamed to ``path`` when it is complete.

    Args:
        path: The file to write.
        layout: Tensor name to dtype and shape, in the order of ``ordered``.
        tensors: Names and tensors in any order. They are consumed one at a time, and each is written in its place.
        metadata: The file's metadata.
        on_bytes: Progress callback.

    Raises:
        ValueError: If a tensor does not match the layout, comes twice, or is missing.
    """
    sizes = {name: size_of(*entry) for name, entry in layout.items()}
    done, total = 0, sum(sizes.values())
    with atomic_write(path) as partial, partial.open("wb") as file:
        file.write(_header(layout, metadata))
        places = dict(zip(layout, accumulate(sizes.values(), initial=file.tell()), strict=False))
        for name, tensor in tensors:
            place = places.pop(name, None)
            if place is None or (tensor.dtype, tuple(tensor.shape)) != layout[name]:
                raise ValueError(f"{name} is {tensor.dtype} {tuple(tensor.shape)}, not {layout.get(name)}.")
            file.seek(place)
            file.write(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
            done += sizes[name]
            del tensor  # before the next one is made
            on_bytes(done, total)
        if places:
            raise ValueError(f"{', '.join(places)} is missing.")


def check_target(path: Path, inputs: list[Path], replace: bool, suffix: str = ".safetensors") -> None:
    """Reject a target that would overwrite a file, or whose name does not end in ``suffix``.

    Raises:
        CheckpointError: If ``path`` is one of ``inputs``, exists and ``replace`` is off, or its folder does not exist.
    """
    if path.suffix != suffix:
        raise CheckpointError(f"{path.name} must end in {suffix}, or ComfyUI will not read it.")
    if path.resolve() in [file.resolve() for file in inputs]:
        raise CheckpointError(f"{path} is one of the files to read. Choose another name for the result.")
    if path.exists() and not replace:
        raise CheckpointError(f"{path} is there already. Choose another name, or add --replace.")
    if not path.parent.is_dir():
        raise CheckpointError(f"There is no folder {path.parent}. Make it first.")


def _header(layout: Layout, metadata: Mapping[str, str]) -> bytes:
    """Header: length, then JSON of names, dtypes, shapes and offsets, padded so that the data is aligned."""
    header: dict = {"__metadata__": {"format": "pt", **metadata}}
    offset = 0
    for name, (dtype, shape) in layout.items():
        end = offset + size_of(dtype, shape)
        header[name] = {"dtype": DTYPE_NAMES[dtype], "shape": list(shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    return len(text).to_bytes(8, "little") + text
