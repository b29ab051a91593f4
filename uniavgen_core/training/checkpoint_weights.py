"""The weights in a checkpoint folder, whoever wrote it: one process or many, whole or in shards."""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from .checkpoints import find_fault
from .sharded_tensors import read_shards
from .weight_average import FOLDER as AVERAGE_FOLDER

WHOLE, SHARDS = "model.safetensors", "pytorch_model_fsdp_0"
"""Names that Accelerate gives the weights."""
PREFIX = "model."
"""Before each name, for the module that joins the network with its losses."""


def averaged_weights(checkpoint: Path) -> dict[str, Tensor]:
    """The network's weights by name; the averaged ones where an average was kept.

    Args:
        checkpoint: A folder ``step-...`` that the trainer wrote.

    Raises:
        ValueError: If it is damaged, or no checkpoint.
    """
    fault = find_fault(checkpoint)
    if fault is not None:
        raise ValueError(f"{checkpoint} is not a whole checkpoint: {fault}.")
    if (checkpoint / WHOLE).exists():
        weights = _load(checkpoint / WHOLE)
    else:
        weights = read_shards(checkpoint / SHARDS)
        weights = {name.removeprefix("model."): value for name, value in weights.items()}
    weights = {name.removeprefix(PREFIX): value for name, value in weights.items()}
    if (checkpoint / AVERAGE_FOLDER).is_dir():
        weights |= read_shards(checkpoint / AVERAGE_FOLDER)
    return weights


def _load(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} cannot be read: {error}.") from error
