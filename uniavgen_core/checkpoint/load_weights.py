"""Loading and saving of weights in safetensors files or folders of shards.

All tensors that the network needs must be present. Other tensors are ignored and reported.
"""

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from ..config import ModelConfig
from ..layers.uninitialized import uninitialized
from ..model.audio_branch import AudioModel
from ..model.joint import JointModel
from ..model.video_branch import VideoModel
from .checked_files import CheckpointError, naming
from .config_from_weights import (
    QUANTISED_MARKS,
    Contents,
    Network,
    Shapes,
    config_from_shapes,
    hint_of,
    metadata_of,
    network_of,
)
from .weight_files import WeightFiles
from .weight_fit import Fit, check_fit, misfit

OPTIONAL = frozenset(("audio_padding",))
"""Tensors that only pad batches of audio of different lengths in the release, and are unused for a single clip."""
QUANTISATION_SUFFIXES = (
    ".comfy_quant",
    ".weight_scale",
    ".weight_scale_2",
    ".input_scale",
    ".pre_quant_scale",
    ".scale_weight",
    ".scale_input",
)
OLD_QUANTISATION_MARK = "scaled_fp8"
MODELS = {Contents.JOINT: JointModel, Contents.VIDEO: VideoModel, Contents.AUDIO: AudioModel}
"""Model class for each contents, with the tensor names of its files."""
AnyModel = JointModel | VideoModel | AudioModel


def read_tensors(path: Path | str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Memory-map all tensors of a safetensors file or a folder of shards, and read its metadata.

    Raises:
        CheckpointError: If a file does not exist, is empty or truncated, or is not safetensors.
    """
    files = WeightFiles(path)
    return dict(files.tensors()), files.metadata


def check_whole(shapes: Shapes, network: Network) -> Fit:
    """Compare a file's tensors, plain or quantised in ComfyUI's format, with the network's.

    Args:
        shapes: Tensor name to shape, of the file.
        network: Contents of the file.

    Returns:
        The unused tensors, and the absent optional ones.

    Raises:
        CheckpointError: If tensors are missing or have the wrong shape (a quantised weight may be packed), or if extra
            layers show that the video branch is another of Wan's models.
    """
    hint = hint_of(shapes) if network.contents is Contents.VIDEO else ""
    try:
        fit = check_quantised(shapes, expected_shapes(network), OPTIONAL)
    except CheckpointError as error:
        raise CheckpointError(f"{error}{hint}") from error
    if hint:
        raise CheckpointError(f"{misfit(unexpected=fit.unused)}{hint}")
    return fit


def check_quantised(shapes: Shapes, expected: Shapes, optional: Iterable[str] = ()) -> Fit:
    """Compare tensors, plain or quantised in ComfyUI's format, with a network's; see ``check_fit``."""
    plain = {name: shape for name, shape in shapes.items() if not is_quantisation(name)}
    packed = {f"{layer}.weight": plain.get(f"{layer}.weight") for layer in quantised_layers(shapes)}
    fit = check_fit(plain, {name: packed.get(name) or shape for name, shape in expected.items()}, optional)
    layers = {name.rpartition(".")[0] for name in expected}
    stray = [name for name in shapes if name.endswith(QUANTISATION_SUFFIXES) and name.rpartition(".")[0] not in layers]
    return Fit((*fit.unused, *stray), fit.absent)


def is_quantisation(name: str) -> bool:
    """True if a tensor belongs to the quantization format and not to the network."""
    return name.endswith(QUANTISATION_SUFFIXES) or name == OLD_QUANTISATION_MARK


def quantised_layers(names: Iterable[str]) -> set[str]:
    """Layers whose weight is quantised in ComfyUI's format."""
    return {name.rpartition(".")[0] for name in names if name.endswith(QUANTISED_MARKS)}


def expected_shapes(network: Network) -> dict[str, tuple[int, ...]]:
    """Tensor name to shape of a network or a branch of it, in the names of its files."""
    return {name: tuple(tensor.shape) for name, tensor in without_memory(network).state_dict().items()}


def without_memory(network: Network) -> AnyModel:
    """Build a network or a branch of it on the meta device."""
    with uninitialized():
        return MODELS[network.contents](network.config)


def load_model(path: Path | str, dtype: torch.dtype | None = None) -> JointModel:
    """Build the joint model of a checkpoint and load its weights.

    Args:
        path: A safetensors file in the release's names, or a folder of its shards.
        dtype: Dtype of the weights; None keeps the file's.

    Raises:
        CheckpointError: If the file is damaged or does not fit.
        NotUniAVGenError: If it holds another network, or a single branch.
    """
    files = WeightFiles(path)
    with naming(Path(path)):
        joint: Any = _loaded(files, Network(Contents.JOINT, config_from_shapes(files.shapes, files.metadata)), dtype)
    return joint


def load_any(path: Path | str, dtype: torch.dtype | None = None) -> AnyModel:
    """Build the joint model or the single branch of a checkpoint and load its weights; see ``load_model``."""
    files = WeightFiles(path)
    with naming(Path(path)):
        return _loaded(files, network_of(files.shapes, files.metadata), dtype)


def save_weights(
    weights: Mapping[str, Tensor],
    config: ModelConfig,
    path: Path | str,
    dtype: torch.dtype,
    more: Mapping[str, str] | None = None,
) -> None:
    """Save a state dict, such as averaged weights, with the configuration as metadata.

    Args:
        weights: Tensors in the release's names.
        config: The model's configuration.
        path: The safetensors file to write.
        dtype: Dtype in the file.
        more: Additional metadata.
    """
    tensors = {name: tensor.detach().to(dtype).contiguous() for name, tensor in weights.items()}
    save_file(tensors, path, metadata={**metadata_of(config), **(more or {})})


def _loaded(files: WeightFiles, network: Network, dtype: torch.dtype | None) -> AnyModel:
    if quantised_layers(files.entries):
        raise CheckpointError(f"{files.files[0].name} is quantized: ComfyUI's layers read it, plain ones do not.")
    model = without_memory(network)
    fit = check_whole(files.shapes, network)
    for notice in fit.notices(files.files[0].name):
        logging.getLogger(__name__).warning(notice)
    tensors = {name: tensor.to(dtype or tensor.dtype) for name, tensor in fit.fitted(files.tensors()).items()}
    model.load_state_dict(tensors, assign=True)
    return model.eval()
