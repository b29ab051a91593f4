"""Extraction of one branch of a joint checkpoint to a file that loads on its own."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from .config_from_weights import Contents, Network, config_from_shapes, metadata_of
from .load_weights import check_whole
from .wan_files import wan_names
from .weight_files import WeightFiles
from .write_safetensors import OnBytes, check_target, ordered, silent, write_stream

AUDIO_PARTS = frozenset(
    (
        "audio_padding",
        "audio_embedding",
        "text_embedding",
        "text_proj",
        "time_embedding_audio",
        "time_projection_audio",
        "audio_blocks",
        "head_audio",
    )
)
"""First components of the audio branch's tensor names, which are the same on its own and in the joint network."""
Named = TypeVar("Named")


def cut(
    source: Path, target: Path, branch: Contents, replace_target: bool = False, on_bytes: OnBytes = silent
) -> dict[str, Any]:
    """Write the tensors of a branch, bit for bit, to one file; the video branch in Wan's names.

    The file's metadata holds the configuration. Its presence marks a branch that was trained with a reference image,
    unlike Wan.

    Args:
        source: A folder of shards, one of its shards, or a file, plain or quantised.
        target: The file to write.
        branch: The video or the audio branch.
        replace_target: Overwrite ``target`` if it exists.
        on_bytes: Progress callback.

    Returns:
        ``target``, ``branch``, and the number of ``tensors`` and ``bytes`` written.

    Raises:
        CheckpointError: If a shard is missing or damaged, the network is incomplete, or the target exists.
        NotUniAVGenError: If the tensors belong to another network, or to a single branch.
    """
    files = WeightFiles(source)
    check_target(target, files.files, replace_target)
    config = config_from_shapes(files.shapes, files.metadata)
    fit = check_whole(files.shapes, Network(Contents.JOINT, config))
    names = branch_names({name: name for name in files.entries if name not in fit.unused}, branch)
    layout = ordered({new: (files.entries[old].dtype, files.entries[old].shape) for new, old in names.items()})
    stored = files.tensors([names[new] for new in layout])
    tensors = ((new, tensor) for new, (_, tensor) in zip(layout, stored, strict=True))
    metadata = files.metadata | metadata_of(replace(config, num_interactions=0))
    write_stream(target, layout, tensors, metadata, on_bytes)
    return {
        "target": str(target),
        "branch": branch.value,
        "tensors": len(layout),
        "bytes": target.stat().st_size,
    }


def branch_names(joint: Mapping[str, Named], branch: Contents) -> dict[str, Named]:
    """Select the tensors of a branch by their joint names, and rename them to the branch's own names."""
    if branch is Contents.VIDEO:
        return wan_names(joint)
    return {name: value for name, value in joint.items() if name.split(".")[0] in AUDIO_PARTS}
