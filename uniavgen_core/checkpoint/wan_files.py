"""The video branch on its own, in the names of Wan2.2-TI2V-5B, from which its training starts.

Source: Wan (arXiv:2503.20314); names as in the original files and in ComfyUI's ``wan2.2_ti2v_5B_fp16.safetensors``.
"""

from collections.abc import Mapping
from pathlib import Path

import torch

from ..model.joint import JointModel
from .checked_files import CheckpointError
from .config_from_weights import hint_of
from .load_weights import quantised_layers
from .shard_sets import Named
from .weight_files import WeightFiles
from .weight_fit import check_fit, misfit

VIDEO_TO_WAN = {
    "patch_embedding": "patch_embedding",
    "text_embedding_video": "text_embedding",
    "time_embedding": "time_embedding",
    "time_projection": "time_projection",
    "blocks": "blocks",
    "head": "head",
}
"""First component of the joint network's tensor names to that of Wan's; the rest is the same."""


def wan_names(joint: Mapping[str, Named]) -> dict[str, Named]:
    """Select the video branch by its joint names, and rename it to Wan's names."""
    parts = [(name.partition("."), value) for name, value in joint.items()]
    return {VIDEO_TO_WAN[first] + dot + rest: value for (first, dot, rest), value in parts if first in VIDEO_TO_WAN}


def load_wan_branch(model: JointModel, path: Path | str) -> None:
    """Load a Wan2.2-TI2V-5B file into the video branch of the joint network.

    Args:
        model: The joint network, not on the meta device. Its weights keep their dtype and device.
        path: A safetensors file, a folder of shards with or without an index, or one of its numbered shards.

    Raises:
        CheckpointError: If the file is missing, damaged or quantised, or does not fit; the model is then unchanged.
    """
    files, branch = WeightFiles(path), wan_names(model.state_dict())
    if quantised_layers(files.entries):
        raise CheckpointError(f"{Path(path).name} is quantized. Choose the bf16 or fp16 file to start training from.")
    try:
        fit = check_fit(files.shapes, {name: weight.shape for name, weight in branch.items()})
        if fit.unused:
            raise misfit(unexpected=fit.unused)
    except CheckpointError as error:
        raise CheckpointError(
            f"{Path(path).name} does not fit the video branch, in Wan's names. {error}{hint_of(files.entries)}"
        ) from error
    with torch.no_grad():
        for name, tensor in files.tensors():
            branch[name].copy_(tensor)
