"""A checkpoint's tensors, all or those of one branch, written to one file bit for bit."""

from collections.abc import Mapping
from dataclasses import replace as replace_fields
from pathlib import Path
from typing import Any

from ..config import RELEASED
from .config_from_weights import Contents, Network, config_from_shapes, metadata_of, network_of
from .load_weights import check_whole, expected_shapes
from .shard_sets import Named
from .wan_files import wan_names
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
    written = _copy(files, {name: name for name in files.entries}, target, {}, on_bytes)
    return {"target": str(target), "files": [file.name for file in files.files], **written}


def cut(
    source: Path, target: Path, branch: Contents, replace: bool = False, on_bytes: OnBytes = silent
) -> dict[str, Any]:
    """Write the tensors of a branch of the joint network, plain or quantised, to one file; otherwise as ``merge`` does.

    The video branch gets Wan's names. The file's metadata holds the configuration. Its presence marks a branch that was
    trained with a reference image, unlike Wan.

    Returns:
        ``target``, ``branch``, and the number of ``tensors`` and ``bytes`` written.

    Raises:
        CheckpointError: If a shard is missing or damaged, the network is incomplete, or the target exists.
        NotUniAVGenError: If the tensors belong to another network, or to a single branch.
    """
    files = WeightFiles(source)
    check_target(target, files.files, replace)
    config = config_from_shapes(files.shapes, files.metadata)
    fit = check_whole(files.shapes, Network(Contents.JOINT, config))
    names = branch_names({name: name for name in files.entries if name not in fit.unused}, branch)
    written = _copy(files, names, target, metadata_of(replace_fields(config, num_interactions=0)), on_bytes)
    return {"target": str(target), "branch": branch.value, **written}


def branch_names(joint: Mapping[str, Named], branch: Contents) -> dict[str, Named]:
    """Select the tensors of a branch by their joint names, and rename them to the branch's own names."""
    if branch is Contents.VIDEO:
        return wan_names(joint)
    parts = {name.split(".")[0] for name in expected_shapes(Network(Contents.AUDIO, RELEASED))}
    return {name: value for name, value in joint.items() if name.split(".")[0] in parts}


def _copy(
    files: WeightFiles, names: Mapping[str, str], target: Path, metadata: Mapping[str, str], on_bytes: OnBytes
) -> dict[str, int]:
    """Write the tensors of ``names``, new name to stored name, and count them and the file's bytes."""
    layout = ordered({new: (files.entries[old].dtype, files.entries[old].shape) for new, old in names.items()})
    stored = files.tensors([names[new] for new in layout])
    tensors = ((new, next(stored)[1]) for new in layout)  # holds no tensor while it reads the next
    write_stream(target, layout, tensors, files.metadata | dict(metadata), on_bytes)
    return {"tensors": len(layout), "bytes": target.stat().st_size}
