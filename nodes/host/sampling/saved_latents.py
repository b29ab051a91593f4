"""Files of joint latents: safetensors that hold all entries of a LATENT, bit for bit.

A nested entry is stored as the tensors ``NAME.video`` and ``NAME.audio``, any other tensor as ``NAME``. Plain values,
such as a ``batch_index``, are JSON in the metadata, with the version of the format and of the pack.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from comfy.nested_tensor import NestedTensor
from safetensors import safe_open
from torch import Tensor

from ....uniavgen_core.checkpoint.checked_files import (
    MOST_HEADER_BYTES,
    CheckpointError,
    naming,
    opened,
    parse_object,
    shown,
)
from ....uniavgen_core.checkpoint.finite_weights import is_finite
from ....uniavgen_core.checkpoint.latent_metadata import LATENT_FORMAT, LATENT_KEY
from ....uniavgen_core.checkpoint.weight_files import DTYPES
from ....uniavgen_core.checkpoint.write_safetensors import DTYPE_NAMES, Layout, ordered, silent, size_of, write_stream
from ..media.disk_errors import naming_full_disk
from .joint_latent import split
from .latent_layout import layout_fault, nested_entries, part_names
from .result_checks import CURE

STOCK_TENSOR = "latent_tensor"
"""Tensor of the files of ComfyUI's own 'Save Latent'."""
PACK = Path(__file__).parents[3] / "pyproject.toml"
CHOOSE = "Choose a file that 'UniAVGen Save AV Latent' has saved."


def write_latent(path: Path, latent: dict, tags: Mapping[str, str]) -> list[str]:
    """Write a joint LATENT to a file, which gets its name when it is complete.

    Args:
        path: The file to write.
        latent: The LATENT.
        tags: Metadata about how it was made, such as the workflow.

    Returns:
        Notices about what could not be stored.

    Raises:
        ValueError: If it is no joint latent, or cannot be used because of its shapes or values that are not finite; or
            if it cannot be written, such as because the disk is full.
    """
    split(latent)
    tensors, values, left_out = _stored_entries(latent)
    layout: Layout = {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items()}
    _require_loadable(tensors, layout, values)
    notices = [f"This entry of the latent cannot be stored in a file and was left out: {name}." for name in left_out]
    if sum(map(len, tags.values())) > MOST_HEADER_BYTES // 2:  # quotes in them take two bytes in the file
        tags, notices = {}, [*notices, "The workflow is too large for the file of a latent and was left out."]
    own = {"format": LATENT_FORMAT, "pack": _pack_version(), "values": values}
    needed = sum(size_of(*entry) for entry in layout.values()) / 2**20
    need = f"the latent needs {needed:.1f} MiB. Free that much and run the workflow again."
    in_order = ordered(layout)
    with naming_full_disk(path, need):
        named = ((name, tensors[name]) for name in in_order)
        write_stream(path, in_order, named, {**tags, LATENT_KEY: json.dumps(own)}, silent)
    return notices


def read_latent(path: Path, device: torch.device) -> dict:
    """Read a file of ``write_latent``: the same LATENT, bit for bit.

    Args:
        path: The file.
        device: Device for the tensors.

    Raises:
        CheckpointError: If the file is damaged or holds something else.
    """
    with opened(path) as file, naming(path):
        layout, values = _contents(file)
        # Copies, so that the file can be deleted or written anew while they are in use.
        tensors = {name: file.get_tensor(name).to(device, copy=True) for name in layout}
        fault = _finite_fault(tensors)
        if fault:
            raise CheckpointError(f"{path.name} is damaged: {fault}. {CHOOSE}")
    plain = {name: tensor for name, tensor in tensors.items() if "." not in name}
    nested = {name: NestedTensor([tensors[part] for part in part_names(name)]) for name in nested_entries(tensors)}
    return {**values, **plain, **nested}


def check_saved_latent(path: Path) -> None:
    """Refuse a file that ``read_latent`` cannot read; only its header is read.

    Raises:
        CheckpointError: If the file is damaged or holds something else.
    """
    with opened(path) as file, naming(path):
        _contents(file)


def _pack_version() -> str:
    """Version of this pack."""
    try:
        found = re.search(r'^version = "(.+)"', PACK.read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else "unknown"


def _stored_entries(latent: dict) -> tuple[dict[str, Tensor], dict[str, Any], list[str]]:
    """Tensors and plain values of a LATENT by their names in the file, and the names of entries that are neither."""
    tensors: dict[str, Tensor] = {}
    values: dict[str, Any] = {}
    left_out: list[str] = []
    for name, value in latent.items():
        found = _tensors_of(name, value)
        if found:
            tensors |= found
        elif _is_plain(value):
            values[name] = value
        else:
            left_out.append(name)
    return tensors, values, left_out


def _tensors_of(name: str, value: Any) -> dict[str, Tensor]:
    """Tensors of an entry by their names in the file; empty if it holds none, or one that no file can hold."""
    is_nested = isinstance(value, NestedTensor)
    names, parts = (part_names(name), value.unbind()) if is_nested else ([name], [value])
    can_be_stored = all(isinstance(part, Tensor) and part.dtype in DTYPE_NAMES for part in parts)
    if "." in name or len(names) != len(parts) or not can_be_stored:
        return {}
    return {name: part.detach().cpu().contiguous() for name, part in zip(names, parts, strict=True)}


def _is_plain(value: Any) -> bool:
    """True if a value comes back from JSON as it was."""
    try:
        return json.loads(json.dumps(value)) == value
    except (TypeError, ValueError, RecursionError):
        return False


def _require_loadable(tensors: Mapping[str, Tensor], layout: Layout, values: Mapping[str, Any]) -> None:
    """Refuse to save a latent that could not be loaded again."""
    fault = layout_fault(layout, values)
    if fault:
        raise ValueError(f"The latent cannot be saved: {fault}.")
    fault = _finite_fault(tensors)
    if fault:
        raise ValueError(f"The latent cannot be saved: {fault}. {CURE}")


def _contents(file: safe_open) -> tuple[Layout, dict[str, Any]]:
    """Layout and plain values of an open file, checked."""
    names = list(file.keys())
    values = _values(file.metadata() or {}, names)
    layout: Layout = {}
    for name in names:
        part = file.get_slice(name)
        if part.get_dtype() not in DTYPES:
            raise CheckpointError(f"its tensor {shown(name)} has the dtype {part.get_dtype()}. {CHOOSE}")
        layout[name] = (DTYPES[part.get_dtype()], tuple(part.get_shape()))
    fault = layout_fault(layout, values)
    if fault:
        raise CheckpointError(f"{fault}. {CHOOSE}")
    return layout, values


def _values(metadata: Mapping[str, str], names: list[str]) -> dict[str, Any]:
    """Plain values in the metadata of a file with tensors of these names."""
    if LATENT_KEY not in metadata:
        if STOCK_TENSOR in names:
            raise CheckpointError(
                "this is a latent of ComfyUI's own 'Save Latent', which holds no video and audio in one. Give it the "
                "ending .latent, put it into ComfyUI's input folder, and load it with 'Load Latent'."
            )
        raise CheckpointError(f"this is no latent of video and audio. {CHOOSE}")
    own = parse_object(metadata[LATENT_KEY], f"its metadata entry {LATENT_KEY}")
    number, values = own.get("format"), own.get("values")
    if isinstance(number, int) and number > LATENT_FORMAT:
        raise CheckpointError(
            f"it was saved by a newer version of this pack ({shown(own.get('pack'))}; this is {_pack_version()}). "
            "Update ComfyUI-UniAVGen."
        )
    if number != LATENT_FORMAT or not isinstance(values, dict):
        raise CheckpointError(f"its metadata entry {LATENT_KEY} is damaged. {CHOOSE}")
    return values


def _finite_fault(tensors: Mapping[str, Tensor]) -> str | None:
    """Half a sentence about numbers that are not finite; None if all are."""
    names = [name for name, tensor in tensors.items() if not is_finite(tensor)]
    if not names:
        return None
    return f"its {', '.join(map(shown, names))} holds numbers that are not finite (NaN or infinity)"
