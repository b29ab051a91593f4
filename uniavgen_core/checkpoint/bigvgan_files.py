"""Loading of the release's vocoder folder, ``code2wav_bigvgan_model``, into the network of ``transformers``.

Unexpected but harmless content is reported and accepted, as by the release's own loader.

``from_pretrained`` is not used: it initialises missing tensors randomly with only a warning, its dtype depends on the
version, and it may download.
"""

import json
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..shapes import HOP_LENGTH, MEL_BINS
from .checked_files import CheckpointError
from .load_weights import read_tensors
from .pickled_tensors import read_pickle
from .weight_fit import Fit, check_fit

VOCODER_FOLDER = "code2wav_bigvgan_model"
CONFIG_FILE, WEIGHTS_FILE, PICKLED_WEIGHTS = "config.json", "model.safetensors", "pytorch_model.bin"
MODEL_TYPE = "qwen2_5_omni_bigvgan"
OnNotice = Callable[[str], None]
"""Callback for a notice to the user, a whole sentence."""


class VocoderError(CheckpointError):
    """A vocoder folder is damaged, or holds another model."""


def load_bigvgan(folder: Path, on_notice: OnNotice) -> nn.Module:
    """Load a vocoder from a folder in the format of ``save_pretrained``, without any download.

    Args:
        folder: Folder with config.json, and model.safetensors, its shards, or pytorch_model.bin.
        on_notice: Called with notices about unexpected but harmless content.

    Returns:
        A ``Qwen2_5OmniToken2WavBigVGANModel`` in float32, without gradients, on the CPU.

    Raises:
        VocoderError: If something is missing or wrong in the folder; the message names it.
        ImportError: If the installed ``transformers`` is too old to have the network.
    """
    values = _read_config(folder)
    network, kind = _build(folder, values), values.get("model_type")
    try:
        fill(network, read_weights(folder), folder, on_notice)
    except VocoderError as error:
        if kind == MODEL_TYPE:
            raise
        raise VocoderError(f"{error} {CONFIG_FILE} is of a model of type {kind!r}, not {MODEL_TYPE!r}.") from error
    if kind != MODEL_TYPE:
        on_notice(
            f"{folder.name}/{CONFIG_FILE} gives the type {kind!r}, not {MODEL_TYPE!r}. Sizes and tensors are those of "
            "the vocoder, so it is loaded as that."
        )
    return network


def check_frame(folder: Path, mel_bins: int, hop_length: int) -> None:
    """Check that a vocoder fits UniAVGen's mel spectrogram.

    Args:
        folder: The vocoder's folder, for the message.
        mel_bins: Mel bins of the vocoder's input.
        hop_length: Samples that it generates for each mel frame.

    Raises:
        VocoderError: If they are not 80 and 240, those of UniAVGen's mel spectrogram.
    """
    if (mel_bins, hop_length) != (MEL_BINS, HOP_LENGTH):
        raise VocoderError(
            f"The vocoder in {folder} makes {hop_length} samples of a mel frame of {mel_bins} bins; "
            f"UniAVGen's mel has {MEL_BINS} bins and {HOP_LENGTH} samples a frame."
        )


def fill(network: nn.Module, tensors: dict[str, Tensor], folder: Path, on_notice: OnNotice) -> None:
    """Load weights into a vocoder in float32, and set it to evaluation without gradients.

    Args:
        network: The vocoder. It computes its own buffers, so they need not be stored.
        tensors: Weights in the network's names.
        folder: Their folder, for messages.
        on_notice: Called with notices about tensors that the network does not have.

    Raises:
        VocoderError: If weights are missing or misshapen, or hold values that are not finite.
    """
    built = network.state_dict()
    try:
        shapes = {name: tensor.shape for name, tensor in tensors.items()}
        constants = dict(network.named_buffers())
        fit = check_fit(shapes, {name: tensor.shape for name, tensor in built.items()}, constants)
    except CheckpointError as error:
        raise VocoderError(f"The vocoder folder {folder} is damaged. {error}") from error
    used = {name: tensor for name, tensor in tensors.items() if name in built}
    broken = [name for name, tensor in used.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise VocoderError(f"The vocoder folder {folder} is damaged: {broken[0]} holds values that are not finite.")
    for notice in Fit(fit.unused).notices(folder.name):
        on_notice(notice)
    network.load_state_dict(built | {name: tensor.float() for name, tensor in used.items()}, assign=True)
    network.eval().requires_grad_(False)


def config_of(folder: Path, name: str) -> Path:
    """Path of the configuration file in a vocoder folder.

    Raises:
        VocoderError: If the folder or the file is not there.
    """
    if not folder.is_dir():
        raise VocoderError(f"There is no vocoder folder {folder}.")
    if not (folder / name).is_file():
        raise VocoderError(f"The vocoder folder {folder} has no {name}.")
    return folder / name


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Read the weights of a vocoder folder: model.safetensors, else its shards, else pytorch_model.bin.

    Raises:
        VocoderError: If there are none, or a file is damaged.
    """
    whole, pickled = folder / WEIGHTS_FILE, folder / PICKLED_WEIGHTS
    paths = [whole] if whole.is_file() else sorted(folder.glob("*.safetensors"))
    if not paths and not pickled.is_file():
        raise VocoderError(f"The vocoder folder {folder} has no {WEIGHTS_FILE} and no {PICKLED_WEIGHTS}.")
    try:
        if not paths:
            return read_pickle(pickled)
        return {name: tensor for path in paths for name, tensor in read_tensors(path)[0].items()}
    except CheckpointError as error:
        raise VocoderError(f"The vocoder folder {folder} is damaged. {error}") from error


def _build(folder: Path, values: dict) -> nn.Module:
    """Build the network that config.json describes, with random weights."""
    network_class: Any = _network_class()
    try:
        config = network_class.config_class.from_dict({**values, "model_type": MODEL_TYPE})
        with torch.random.fork_rng(devices=[]):  # The initialisation must not advance the global generator.
            network = network_class(config)
    except Exception as error:  # The type of the error depends on the version of transformers.
        raise VocoderError(f"{folder / CONFIG_FILE} describes no vocoder that can be built ({error}).") from error
    check_frame(folder, config.mel_dim, prod(config.upsample_rates))
    return network


def _read_config(folder: Path) -> dict:
    path = config_of(folder, CONFIG_FILE)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise VocoderError(f"{path} is not JSON ({error}).") from error
    if not isinstance(values, dict):
        raise VocoderError(f"{path} describes no model: it holds no JSON object.")
    return values


def _network_class() -> type[nn.Module]:
    """Import the network's class; lazily, because importing ``transformers`` takes seconds."""
    import transformers

    try:
        return transformers.Qwen2_5OmniToken2WavBigVGANModel
    except AttributeError as error:
        raise ImportError(
            f"The installed transformers {transformers.__version__} has no BigVGAN vocoder. Update it to 4.52 or newer "
            "in ComfyUI's Python: pip install --upgrade transformers"
        ) from error
