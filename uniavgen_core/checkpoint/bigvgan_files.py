"""Loading of the release's vocoder folder, ``code2wav_bigvgan_model``, into the network of ``transformers``.

Unexpected but harmless content is reported and accepted, as by the release's own loader.

``from_pretrained`` is not used: it initialises missing tensors randomly with only a warning, its dtype depends on the
version, and it may download.
"""

import os
from collections.abc import Callable
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..shapes import HOP_LENGTH, MEL_BINS
from .checked_files import CheckpointError, parse_object, read_text, shown
from .finite_weights import is_finite
from .load_weights import read_tensors
from .pickled_tensors import read_pickle
from .weight_fit import Fit, check_fit

VOCODER_FOLDER = "code2wav_bigvgan_model"
CONFIG_FILE, WEIGHTS_FILE, PICKLED_WEIGHTS = "config.json", "model.safetensors", "pytorch_model.bin"
MODEL_TYPE = "qwen2_5_omni_bigvgan"
MOST_CONFIG_BYTES = 1 << 16
MOST_LAYERS = 16
"""Most upsampling layers, and most residual blocks of one; the release has six and three."""
LARGEST = {"mel_dim": 4096, "upsample_initial_channel": 1 << 14}
LARGEST_IN_LIST = 64
"""Largest kernel, dilation and upsampling rate; the release's are 11, 5 and 5."""
LISTS = {
    "resblock_kernel_sizes": 1, "resblock_dilation_sizes": 2, "upsample_rates": 1, "upsample_kernel_sizes": 1,
}  # fmt: skip
"""Fields of the configuration that are lists, with the depth of their nesting."""
SAME_LENGTH = (("resblock_kernel_sizes", "resblock_dilation_sizes"), ("upsample_rates", "upsample_kernel_sizes"))
OnNotice = Callable[[str], None]
"""Callback for a notice to the user, a whole sentence."""
OnTensor = Callable[[], None]
"""Callback before each tensor, which may raise to cancel."""


class VocoderError(CheckpointError):
    """A vocoder folder is damaged, or holds another model."""


def load_bigvgan(folder: Path, on_notice: OnNotice, on_tensor: OnTensor = lambda: None) -> nn.Module:
    """Load a vocoder from a folder in the format of ``save_pretrained``, without any download.

    Args:
        folder: Folder with config.json, and model.safetensors, its shards, or pytorch_model.bin.
        on_notice: Called with notices about unexpected but harmless content.
        on_tensor: Called before each tensor is loaded.

    Returns:
        A ``Qwen2_5OmniToken2WavBigVGANModel`` in float32, without gradients, on the CPU.

    Raises:
        VocoderError: If something is missing or wrong in the folder; the message names it.
        ImportError: If the installed ``transformers`` is too old to have the network.
    """
    values = read_config(folder, CONFIG_FILE)
    network_class: Any = _network_class()
    config, kind = _config(folder, values, network_class.config_class), values.get("model_type")
    try:
        tensors = read_weights(folder)
        check_weights(partial(network_class, config), tensors, folder)
        network = without_random_numbers(partial(network_class, config))
        fill(network, tensors, folder, on_notice, on_tensor)
    except VocoderError as error:
        if kind == MODEL_TYPE:
            raise
        told = shown(repr(kind))
        raise VocoderError(f"{error} {CONFIG_FILE} is of a model of type {told}, not {MODEL_TYPE!r}.") from error
    if kind != MODEL_TYPE:
        on_notice(
            f"{folder.name}/{CONFIG_FILE} gives the type {shown(repr(kind))}, not {MODEL_TYPE!r}. Sizes and tensors "
            "are those of the vocoder, so it is loaded as that."
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


def without_random_numbers(build: Callable[[], nn.Module]) -> nn.Module:
    """Build a network whose initial weights do not use up the process's random numbers."""
    with torch.random.fork_rng(devices=[]):
        return build()


def check_weights(build: Callable[[], nn.Module], tensors: dict[str, Tensor], folder: Path) -> Fit:
    """Compare weights with the network of a configuration, which is built without memory, on the meta device.

    Args:
        build: Function that builds the network.
        tensors: Weights in the network's names.
        folder: Their folder, for messages.

    Raises:
        VocoderError: If there is no such network, or weights are missing or misshapen.
    """
    try:
        with torch.device("meta"):
            network = without_random_numbers(build)
    except Exception as error:  # its type depends on the package, which checks nothing itself
        raise VocoderError(f"{folder} describes no vocoder that can be built ({shown(error)}).") from error
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    constants = dict(network.named_buffers())
    try:
        return check_fit(shapes, {name: it.shape for name, it in network.state_dict().items()}, constants)
    except CheckpointError as error:
        raise VocoderError(f"The vocoder folder {folder} is damaged. {error}") from error


def fill(
    network: nn.Module, tensors: dict[str, Tensor], folder: Path, on_notice: OnNotice, on_tensor: OnTensor
) -> None:
    """Load weights into a vocoder in float32, and set it to evaluation without gradients.

    Args:
        network: The vocoder. It computes its own buffers, so they need not be stored.
        tensors: Weights in the network's names, checked by ``check_weights``.
        folder: Their folder, for messages.
        on_notice: Called with notices about tensors that the network does not have.
        on_tensor: Called before each tensor is loaded.

    Raises:
        VocoderError: If weights hold values that are not finite, or are no floating-point numbers.
    """
    built, used = network.state_dict(), {}
    for name in (name for name in tensors if name in built):
        on_tensor()
        if not tensors[name].dtype.is_floating_point:
            raise VocoderError(f"The vocoder folder {folder} is damaged: {name} is {tensors[name].dtype}.")
        if not is_finite(tensors[name]):
            raise VocoderError(f"The vocoder folder {folder} is damaged: {name} holds values that are not finite.")
        used[name] = tensors[name].float()
    for notice in Fit(tuple(name for name in tensors if name not in built)).notices(folder.name):
        on_notice(notice)
    network.load_state_dict(built | used, assign=True)
    network.eval().requires_grad_(False)


def read_config(folder: Path, name: str) -> dict[str, Any]:
    """Read a configuration file in JSON.

    Raises:
        VocoderError: If the folder or the file is not there, or is not a JSON object.
    """
    path = config_of(folder, name)
    try:
        return parse_object(read_text(path, MOST_CONFIG_BYTES), str(path))
    except CheckpointError as error:
        raise VocoderError(str(error)) from error


def config_of(folder: Path, name: str) -> Path:
    """Path of the configuration file in a vocoder folder.

    Raises:
        VocoderError: If the folder or the file is not there.
    """
    if not folder.is_dir():
        raise VocoderError(f"There is no vocoder folder {folder}.")
    if not os.path.lexists(folder / name):
        raise VocoderError(f"The vocoder folder {folder} has no {name}.")
    return folder / name


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Read the weights of a vocoder folder: model.safetensors, else its shards, else pytorch_model.bin.

    Raises:
        VocoderError: If there are none, or a file is damaged.
    """
    whole, pickled = folder / WEIGHTS_FILE, folder / PICKLED_WEIGHTS
    paths = [whole] if os.path.lexists(whole) else sorted(folder.glob("*.safetensors"))
    if not paths and not os.path.lexists(pickled):
        raise VocoderError(f"The vocoder folder {folder} has no {WEIGHTS_FILE} and no {PICKLED_WEIGHTS}.")
    try:
        if not paths:
            return read_pickle(pickled)
        return {name: tensor for path in paths for name, tensor in read_tensors(path)[0].items()}
    except CheckpointError as error:
        raise VocoderError(f"The vocoder folder {folder} is damaged. {error}") from error


def _config(folder: Path, values: dict[str, Any], config_class: Any) -> Any:
    """Configuration of transformers, of the fields of config.json that the network reads."""
    given = {name: values[name] for name in (*LARGEST, *LISTS) if name in values}
    wrong = [name for name, value in given.items() if not _is_sizes(value, LISTS.get(name, 0), LARGEST.get(name))]
    if wrong:
        raise VocoderError(
            f"{folder / CONFIG_FILE} describes no vocoder that can be built ({wrong[0]} is "
            f"{shown(repr(given[wrong[0]]))})."
        )
    config = config_class(**given)
    for first, second in SAME_LENGTH:
        if len(getattr(config, first)) != len(getattr(config, second)):
            raise VocoderError(
                f"{folder / CONFIG_FILE} describes no vocoder that can be built ({first} and {second} are not of one "
                "length)."
            )
    check_frame(folder, config.mel_dim, prod(config.upsample_rates))
    return config


def _is_sizes(value: Any, depth: int, largest: int | None) -> bool:
    """True if a value is a whole number that a vocoder can have, or a list of such, nested ``depth`` times."""
    if depth:
        is_short = isinstance(value, list) and 0 < len(value) <= MOST_LAYERS
        return is_short and all(_is_sizes(part, depth - 1, largest) for part in value)
    return type(value) is int and 0 < value <= (largest or LARGEST_IN_LIST)


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
