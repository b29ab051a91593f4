"""Loading of weights from disk into a network of ComfyUI's layers, one layer at a time.

Tensors are memory-mapped, and a shard is released when its last tensor is in the network, so that the host's memory
holds at most the largest shard beside the model. Under ComfyUI's dynamic loading the mapped tensors themselves become
the weights.
"""

from collections.abc import Mapping
from pathlib import Path

import comfy.model_management
import comfy.utils
import torch
from comfy.quant_ops import QuantizedTensor
from safetensors import SafetensorError
from torch import Tensor, nn

from ....uniavgen_core.checkpoint.checked_files import RAW_ERRORS, CheckpointError, damaged, opened, shown
from ....uniavgen_core.checkpoint.finite_weights import READ_BY_NOTHING, is_finite, is_packed_finite, not_finite
from ....uniavgen_core.checkpoint.gguf_file import SUFFIX as GGUF
from ....uniavgen_core.checkpoint.gguf_quants import BlockKind
from ....uniavgen_core.checkpoint.pickled_tensors import read_pickle
from ....uniavgen_core.checkpoint.shard_sets import files_of

SAFETENSORS = (".safetensors", ".sft")


def read_weights(path: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Map the tensors and read the metadata of a file, a folder of shards, or the set that a shard belongs to.

    Raises:
        CheckpointError: If a file is missing, truncated or no checkpoint; names the file.
        ImportError: If it is a GGUF file and the package ``gguf`` is not installed.
    """
    if Path(path).suffix.lower() == GGUF:
        from .gguf_layout import read_gguf

        return read_gguf(Path(path), torch.bfloat16)
    tensors: dict[str, Tensor] = {}
    metadata: dict[str, str] = {}
    for file in files_of(Path(path)):
        part, part_metadata = read_weight_file(file)
        duplicates = sorted(tensors.keys() & part.keys())
        if duplicates:
            raise CheckpointError(
                f"The tensor {duplicates[0]} is in {file.name} and in another shard. Keep one set of files."
            )
        tensors |= part
        metadata |= part_metadata
    return tensors, metadata


def fill_weights(network: nn.Module, tensors: dict[str, Tensor], assign: bool, file: str = "The file") -> None:
    """Load weights layer by layer, with a progress bar; each is checked for numbers that are not finite on the way.

    Args:
        network: The network, as ComfyUI builds it.
        tensors: Weights by name; the dictionary is emptied.
        assign: Use the tensors themselves as weights instead of copying them.
        file: Name of the file, for messages.

    Raises:
        CheckpointError: If a number is not finite; the message names the tensor.
        InterruptProcessingException: If the user cancelled the run.
    """
    owned: dict[str, list[str]] = {}
    for name in tensors:  # in the order of the files, so that the first shard is released first
        owned.setdefault(_owner(network, name), []).append(name)
    done, bar = 0, comfy.utils.ProgressBar(sum(tensor.nbytes for tensor in tensors.values()))
    for owner, names in owned.items():
        comfy.model_management.throw_exception_if_processing_interrupted()
        for name in names:
            _check_finite(name, tensors[name], file)
        part = {name.removeprefix(f"{owner}."): tensors.pop(name) for name in names}
        if owner in part:
            _set_parameter(network, owner, part[owner], assign)
        else:
            network.get_submodule(owner).load_state_dict(part, strict=False, assign=assign)
        done += sum(tensor.nbytes for tensor in part.values())
        bar.update_absolute(done)


def check_all_finite(tensors: Mapping[str, Tensor], file: str) -> None:
    """Refuse weights with numbers that are not finite; see ``fill_weights``."""
    for name, weights in tensors.items():
        comfy.model_management.throw_exception_if_processing_interrupted()
        _check_finite(name, weights, file)


def _check_finite(name: str, weights: Tensor, file: str) -> None:
    if isinstance(weights, QuantizedTensor):  # in GGUF's blocks; other formats are quantised only as they are loaded
        is_good = is_packed_finite(weights._qdata, BlockKind[weights._params.kind])
    else:
        is_good = name in READ_BY_NOTHING or is_finite(weights)
    if not is_good:
        raise not_finite(name, file)


def _owner(network: nn.Module, name: str) -> str:
    """Name of the part of the network that is loaded together with this tensor: a layer, a child, or the tensor."""
    first, _, rest = name.partition(".")
    return f"{first}.{rest.partition('.')[0]}" if isinstance(getattr(network, first), nn.ModuleList) else first


def _set_parameter(network: nn.Module, name: str, value: Tensor, assign: bool) -> None:
    if assign:
        setattr(network, name, nn.Parameter(value, requires_grad=False))
    else:
        with torch.no_grad():
            getattr(network, name).copy_(value)


def read_weight_file(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Map the tensors of one file and read its metadata; see ``read_weights``."""
    if path.suffix.lower() not in SAFETENSORS:
        return read_pickle(path), {}
    with opened(path):  # checked first, because ComfyUI's memory-mapping reader does not notice a truncated file
        pass
    try:
        tensors, metadata = comfy.utils.load_torch_file(str(path), return_metadata=True)
    except (SafetensorError, EOFError, OSError, *RAW_ERRORS) as error:
        raise damaged(path, error) from error
    for name, tensor in tensors.items():
        if tensor.is_complex():
            raise CheckpointError(f"{path.name}: {shown(name)} is {tensor.dtype}, which this pack does not read.")
    return tensors, metadata or {}
