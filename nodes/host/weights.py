"""Weights from disk into a network of ComfyUI's layers, a layer at a time.

Tensors are memory-mapped, and a shard is let go when its last tensor is in the network: the host's memory holds at most
the largest shard beside the model. Under ComfyUI's dynamic loading the maps themselves become the weights.
"""

from collections.abc import Iterator
from pathlib import Path

import comfy.model_management
import comfy.utils
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from ...uniavgen_core.checkpoint.files import CheckpointError, damaged, files_of, opened

SAFETENSORS = (".safetensors", ".sft")


def read_weights(path: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Map tensors, and read metadata, of a file, a folder of shards, or the set that a shard belongs to.

    Raises:
        CheckpointError: Naming a file that is missing, cut short or no checkpoint.
    """
    tensors: dict[str, Tensor] = {}
    metadata: dict[str, str] = {}
    for file in files_of(Path(path)):
        part, said = _read_file(file)
        twice = sorted(tensors.keys() & part.keys())
        if twice:
            raise CheckpointError(
                f"The tensor {twice[0]} is in {file.name} and in another shard. Keep one set of files."
            )
        tensors |= part
        metadata |= said
    return tensors, metadata


def fill(network: nn.Module, tensors: dict[str, Tensor], assign: bool) -> None:
    """Load weights layer by layer, with a progress bar.

    Args:
        network: The network, as ComfyUI builds it.
        tensors: Its weights by name; emptied on the way.
        assign: Let the tensors become the weights instead of copying them.
    """
    done, bar = 0, comfy.utils.ProgressBar(sum(tensor.nbytes for tensor in tensors.values()))
    for prefix, module in _layers(network):
        comfy.model_management.throw_exception_if_processing_interrupted()
        names = [name for name in tensors if name.startswith(prefix)]
        part = {name.removeprefix(prefix): tensors.pop(name) for name in names}
        module.load_state_dict(part, strict=False, assign=assign)
        done += sum(tensor.nbytes for tensor in part.values())
        bar.update_absolute(done)
    for name, parameter in list(network.named_parameters(recurse=False)):
        value = tensors.pop(name)
        if assign:
            setattr(network, name, nn.Parameter(value, requires_grad=False))
        else:
            with torch.no_grad():
                parameter.copy_(value)


def _layers(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Parts of the network that are loaded at once, with the start of their tensors' names."""
    for name, child in network.named_children():
        if isinstance(child, nn.ModuleList):
            yield from ((f"{name}.{number}.", layer) for number, layer in enumerate(child))
        else:
            yield f"{name}.", child


def _read_file(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    if path.suffix.lower() in SAFETENSORS:
        with opened(path):  # ComfyUI's own reader of maps does not notice that a file was cut short
            pass
    try:
        tensors, metadata = comfy.utils.load_torch_file(str(path), return_metadata=True)
    except (SafetensorError, ValueError, EOFError) as error:
        raise damaged(path, error) from error
    return tensors, metadata or {}
