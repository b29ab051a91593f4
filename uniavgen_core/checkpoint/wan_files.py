"""The video branch on its own, in the names of Wan2.2-TI2V-5B, from which its training starts.

Source: Wan (arXiv:2503.20314); names as in the original files and in ComfyUI's ``wan2.2_ti2v_5B_fp16.safetensors``.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import torch

from ..model.joint import JointModel
from .config_from_weights import Shapes, hint_of
from .load_weights import quantised_layers
from .weight_files import CheckpointError, WeightFiles
from .weight_fit import check_exact

WAN_TO_VIDEO = {
    "patch_embedding": "patch_embedding",
    "text_embedding": "text_embedding_video",
    "time_embedding": "time_embedding",
    "time_projection": "time_projection",
    "blocks": "blocks",
    "head": "head",
}
"""First component of Wan's tensor names to that of the joint network's; the rest is the same."""
VIDEO_TO_WAN = {ours: theirs for theirs, ours in WAN_TO_VIDEO.items()}
"""First component of the joint network's tensor names to that of Wan's."""
Named = TypeVar("Named")


def video_names(wan: Mapping[str, Named]) -> dict[str, Named]:
    """Rename tensors from Wan's names to those of the joint network; other names are kept."""
    return {_renamed(name, WAN_TO_VIDEO): value for name, value in wan.items()}


def wan_names(joint: Mapping[str, Named]) -> dict[str, Named]:
    """Select the video branch by its joint names, and rename it to Wan's names."""
    return {_renamed(name, VIDEO_TO_WAN): value for name, value in joint.items() if name.split(".")[0] in VIDEO_TO_WAN}


def load_wan_branch(model: JointModel, path: Path | str) -> None:
    """Load a Wan2.2-TI2V-5B file into the video branch of the joint network.

    Args:
        model: The joint network, not on the meta device. Its weights keep their dtype and device.
        path: A safetensors file, a folder of shards with or without an index, or one of its numbered shards.

    Raises:
        CheckpointError: If the file is missing, damaged or quantised, or does not fit; the model is then unchanged.
    """
    files = WeightFiles(path)
    _check(files.shapes, wan_names({name: tuple(value.shape) for name, value in model.state_dict().items()}), path)
    names, state = video_names({name: name for name in files.entries}), model.state_dict()
    ours = {theirs: own for own, theirs in names.items()}
    with torch.no_grad():
        for name, tensor in files.tensors():
            state[ours[name]].copy_(tensor)


def _check(shapes: Shapes, expected: Shapes, path: Path | str) -> None:
    """Reject a file that does not fit the video branch."""
    if quantised_layers(shapes):
        raise CheckpointError(f"{Path(path).name} is quantised. Choose the bf16 or fp16 file to start training from.")
    try:
        check_exact(shapes, expected)
    except CheckpointError as error:
        raise CheckpointError(
            f"{Path(path).name} does not fit the video branch, in Wan's names. {error}{hint_of(shapes)}"
        ) from error


def _renamed(name: str, renames: Mapping[str, str]) -> str:
    first, dot, rest = name.partition(".")
    return f"{renames.get(first, first)}{dot}{rest}"
