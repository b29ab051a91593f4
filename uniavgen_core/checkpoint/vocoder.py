"""Loads the release's vocoder folder, ``code2wav_bigvgan_model``, into the network that ``transformers`` has for it.

The weights are put into the network here and not by ``from_pretrained``, which fills in random numbers for tensors that
are missing and only warns, takes another dtype from release to release, and knows how to download.
"""

import json
from math import prod
from pathlib import Path

import torch
from torch import Tensor, nn

from ..shapes import HOP_LENGTH, MEL_BINS
from .load import CheckpointError, check_fit, read_tensors

VOCODER_FOLDER = "code2wav_bigvgan_model"
CONFIG_FILE, WEIGHTS_FILE = "config.json", "model.safetensors"
MODEL_TYPE = "qwen2_5_omni_bigvgan"


class VocoderError(CheckpointError):
    """A vocoder folder is damaged, or holds something else."""


def load_bigvgan(folder: Path | str) -> nn.Module:
    """Load a vocoder from a folder that ``save_pretrained`` wrote; nothing is ever downloaded.

    Args:
        folder: Holds config.json and model.safetensors, or its shards.

    Returns:
        A ``Qwen2_5OmniToken2WavBigVGANModel`` in float32, without gradients, on the CPU.

    Raises:
        VocoderError: Saying what is missing or wrong in the folder.
        ImportError: If the installed ``transformers`` is too old to have the network.
    """
    folder = Path(folder)
    network = _build(folder)
    fill(network, _read_weights(folder), folder)
    return network


def check_frame(folder: Path, mel_bins: int, hop_length: int) -> None:
    """Compare what a folder's vocoder takes and makes with UniAVGen's mel.

    Args:
        folder: The vocoder's, to be named.
        mel_bins: Bins of a mel frame that it takes.
        hop_length: Samples that it makes of a mel frame.

    Raises:
        VocoderError: If they are not 80 and 240.
    """
    if (mel_bins, hop_length) != (MEL_BINS, HOP_LENGTH):
        raise VocoderError(
            f"The vocoder in {folder} makes {hop_length} samples of a mel frame of {mel_bins} bins; "
            f"UniAVGen's mel has {MEL_BINS} bins and {HOP_LENGTH} samples a frame."
        )


def fill(network: nn.Module, tensors: dict[str, Tensor], folder: Path) -> None:
    """Put a folder's weights into its network, which is left in float32, without gradients, ready to vocode.

    Args:
        network: Takes the weights.
        tensors: By the network's names, all of them and no others.
        folder: Where they come from, to be named.

    Raises:
        VocoderError: If tensors are missing, unexpected or misshapen, or hold values that are not finite.
    """
    try:
        shapes = {name: tensor.shape for name, tensor in tensors.items()}
        check_fit(shapes, {name: tensor.shape for name, tensor in network.state_dict().items()})
    except CheckpointError as error:
        raise VocoderError(f"The vocoder folder {folder} is damaged. {error}") from error
    broken = [name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise VocoderError(f"The vocoder folder {folder} is damaged: {broken[0]} holds values that are not finite.")
    network.load_state_dict({name: tensor.float() for name, tensor in tensors.items()}, assign=True)
    network.eval().requires_grad_(False)


def config_of(folder: Path, name: str) -> Path:
    """The file of a vocoder folder that describes the network.

    Raises:
        VocoderError: If the folder or the file is not there.
    """
    if not folder.is_dir():
        raise VocoderError(f"There is no vocoder folder {folder}.")
    if not (folder / name).is_file():
        raise VocoderError(f"The vocoder folder {folder} has no {name}.")
    return folder / name


def _build(folder: Path) -> nn.Module:
    """The network that a folder's config.json describes, with weights that mean nothing."""
    values = _read_config(folder)
    network_class = _network_class()
    try:
        config = network_class.config_class.from_dict(values)
        with torch.random.fork_rng(devices=[]):  # its initial weights would use up the process's random numbers
            network = network_class(config)
    except Exception as error:  # what is raised differs from one release of transformers to the next
        raise VocoderError(f"{folder / CONFIG_FILE} describes no vocoder that can be built ({error}).") from error
    check_frame(folder, config.mel_dim, prod(config.upsample_rates))
    return network


def _read_config(folder: Path) -> dict:
    path = config_of(folder, CONFIG_FILE)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise VocoderError(f"{path} is not JSON ({error}).") from error
    kind = values.get("model_type") if isinstance(values, dict) else None
    if kind != MODEL_TYPE:
        raise VocoderError(f"{path} is of a model of type {kind!r}, not of a vocoder, {MODEL_TYPE!r}.")
    return values


def _read_weights(folder: Path) -> dict[str, Tensor]:
    whole = folder / WEIGHTS_FILE
    paths = [whole] if whole.is_file() else sorted(folder.glob("*.safetensors"))
    if not paths:
        raise VocoderError(f"The vocoder folder {folder} has no {WEIGHTS_FILE}.")
    try:
        return {name: tensor for path in paths for name, tensor in read_tensors(path)[0].items()}
    except CheckpointError as error:
        raise VocoderError(f"The vocoder folder {folder} is damaged. {error}") from error


def _network_class() -> type[nn.Module]:
    """The network's class; imported late, because that takes seconds."""
    import transformers

    try:
        return transformers.Qwen2_5OmniToken2WavBigVGANModel
    except AttributeError as error:
        raise ImportError(
            f"The installed transformers {transformers.__version__} has no BigVGAN vocoder. Update it to 4.52 or newer "
            "in ComfyUI's Python: pip install --upgrade transformers"
        ) from error
