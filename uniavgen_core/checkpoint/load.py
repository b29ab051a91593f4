"""Weights from and to safetensors files; loading is strict and names what does not fit."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..config import ModelConfig
from ..layers.backend import TORCH, Backend
from ..model.joint import JointModel
from .geometry import Shapes, config_from_shapes, metadata_of

NAMES_SHOWN = 5
PREFIXES = ("model.diffusion_model.", "diffusion_model.")


class CheckpointError(ValueError):
    """A checkpoint file is damaged or does not fit the model."""


def read_tensors(path: Path | str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read all tensors of a safetensors file, and its metadata.

    Raises:
        CheckpointError: If the file is not there, empty, cut short, or not safetensors.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"There is no file {path}.")
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except SafetensorError as error:
        raise CheckpointError(
            f"{path.name} cannot be read as safetensors ({error}); its size is {path.stat().st_size} bytes. "
            "If it is a download, it may have stopped half way: fetch it again and compare its size."
        ) from error


def strip_prefix(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Drop the prefix that merged checkpoints put before every name."""
    for prefix in PREFIXES:
        if any(name.startswith(prefix) for name in tensors):
            return {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return dict(tensors)


def check_fit(shapes: Shapes, expected: Shapes) -> None:
    """Compare a file's tensors with a model's.

    Args:
        shapes: Tensor name to shape, of the file.
        expected: The same, of the model.

    Raises:
        CheckpointError: Naming what is missing, unexpected or misshapen.
    """
    misshapen = [
        f"{name} is {tuple(shapes[name])}, not {tuple(expected[name])}"
        for name in expected
        if name in shapes and tuple(shapes[name]) != tuple(expected[name])
    ]
    faults = {
        "missing": [name for name in expected if name not in shapes],
        "unexpected": [name for name in shapes if name not in expected],
        "misshapen": misshapen,
    }
    found = [f"{len(names)} {fault}: {_some(names)}" for fault, names in faults.items() if names]
    if found:
        raise CheckpointError("The checkpoint does not fit the model. " + "; ".join(found) + ".")


def load_model(path: Path | str, backend: Backend = TORCH, dtype: torch.dtype | None = None) -> JointModel:
    """Build the model a file holds and load its weights.

    Args:
        path: A safetensors file in the release's names.
        backend: Where layers come from.
        dtype: Dtype of the weights; None keeps the file's.

    Raises:
        CheckpointError: If the file is damaged or does not fit.
        NotUniAVGenError: If it holds something else.
    """
    tensors, metadata = read_tensors(path)
    tensors = strip_prefix(tensors)
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    with torch.device("meta"):
        model = JointModel(config_from_shapes(shapes, metadata), backend)
    check_fit(shapes, {name: tensor.shape for name, tensor in model.state_dict().items()})
    model.load_state_dict({name: tensor.to(dtype or tensor.dtype) for name, tensor in tensors.items()}, assign=True)
    return model.eval()


def save_model(model: JointModel, path: Path | str, dtype: torch.dtype = torch.float16) -> None:
    """Write a model's weights, with its configuration as metadata."""
    save_weights(model.state_dict(), model.config, path, dtype)


def save_weights(
    weights: Mapping[str, Tensor],
    config: ModelConfig,
    path: Path | str,
    dtype: torch.dtype,
    more: Mapping[str, str] | None = None,
) -> None:
    """Write weights by name, such as an average kept in training, with the configuration as metadata.

    Args:
        weights: Tensors in the release's names.
        config: The model's.
        path: The safetensors file to write.
        dtype: Dtype in the file.
        more: More metadata.
    """
    tensors = {name: tensor.detach().to(dtype).contiguous() for name, tensor in weights.items()}
    save_file(tensors, path, metadata={**metadata_of(config), **(more or {})})


def _some(names: list[str]) -> str:
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return ", ".join(names[:NAMES_SHOWN]) + more
