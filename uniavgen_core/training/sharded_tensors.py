"""Tensors in a folder, each process writing its own part, read again by any number of processes."""

import warnings
from pathlib import Path

import torch
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from .shard_metadata import DAMAGED, check_shards


def write_shards(folder: Path, tensors: dict[str, Tensor]) -> None:
    """Write tensors, sharded or whole; every process takes part."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        save(dict(tensors), checkpoint_id=folder, no_dist=not torch.distributed.is_initialized())


def read_into(folder: Path, tensors: dict[str, Tensor], alone: bool = False) -> None:
    """Overwrite tensors with what was written under their names.

    Args:
        folder: What ``write_shards`` wrote.
        tensors: Sharded or whole, whatever they were when they were written.
        alone: Whether this process reads by itself, among others that do not.

    Raises:
        ValueError: If what is there is damaged or hostile, or of other tensors; names the folder.
    """
    check_shards(folder)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="torch.distributed is disabled")
            load(tensors, checkpoint_id=folder, no_dist=alone or not torch.distributed.is_initialized())
    except CheckpointException as error:
        cause = next(iter(error.failures.values()))[0]
        raise ValueError(f"{folder} cannot be read: {cause}.") from error
    except DAMAGED as error:
        raise ValueError(f"{folder} cannot be read: {error}.") from error


def read_shards(folder: Path) -> dict[str, Tensor]:
    """All tensors of a folder, whole and on the CPU.

    Raises:
        ValueError: If what is there is damaged or hostile; names the folder.
    """
    entries = check_shards(folder)
    tensors = {name: torch.empty(entry.size, dtype=entry.properties.dtype) for name, entry in entries.items()}
    read_into(folder, tensors, alone=True)
    return tensors
