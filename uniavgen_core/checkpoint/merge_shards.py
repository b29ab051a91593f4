"""Merging of a checkpoint's shards into one file."""

from pathlib import Path
from typing import Any

from .config_from_weights import network_of
from .load_weights import check_whole
from .weight_files import WeightFiles
from .write_safetensors import OnBytes, check_target, ordered, silent, write_stream


def merge(source: Path, target: Path, replace: bool = False, on_bytes: OnBytes = silent) -> dict[str, Any]:
    """Write all tensors of a checkpoint, bit for bit, to one file.

    Args:
        source: A folder of shards, one of its shards, or a file.
        target: The file to write.
        replace: Overwrite ``target`` if it exists.
        on_bytes: Progress callback.

    Returns:
        ``files`` read, number of ``tensors`` and ``bytes`` written, and the ``target``.

    Raises:
        CheckpointError: If a shard is missing or damaged, the network is incomplete, or the target exists.
        NotUniAVGenError: If the tensors belong to another network.
    """
    files = WeightFiles(source)
    check_target(target, files.files, replace)
    check_whole(files.shapes, network_of(files.shapes, files.metadata))
    layout = ordered({name: (entry.dtype, entry.shape) for name, entry in files.entries.items()})
    write_stream(target, layout, files.tensors(list(layout)), files.metadata, on_bytes)
    return {
        "target": str(target),
        "files": [file.name for file in files.files],
        "tensors": len(layout),
        "bytes": target.stat().st_size,
    }
