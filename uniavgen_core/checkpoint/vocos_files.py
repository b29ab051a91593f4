"""Loading of a Vocos folder, config.yaml and weights, into the layers of the optional package ``vocos``.

Only a backbone and a head are built, and only of the classes listed here, because a file must not choose freely which
classes are imported. The feature extractor is ignored, because UniAVGen's mel spectrogram replaces it.
"""

import os
from collections import OrderedDict
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from torch import nn

from ..shapes import HOP_LENGTH, MEL_BINS, SAMPLE_RATE
from .bigvgan_files import CONFIG_FILE as BIGVGAN_CONFIG
from .bigvgan_files import (
    MOST_CONFIG_BYTES,
    PICKLED_WEIGHTS,
    OnNotice,
    OnTensor,
    VocoderError,
    check_frame,
    check_weights,
    config_of,
    fill,
    read_weights,
    without_random_numbers,
)
from .checked_files import RAW_ERRORS, CheckpointError, read_text, shown
from .config_checks import MOST_LAYERS

VOCOS_CONFIG = "config.yaml"
PARTS = {
    "backbone": ("vocos.models.VocosBackbone", "vocos.models.VocosResNetBackbone"),
    "head": ("vocos.heads.ISTFTHead",),  # The others need scipy < 1.13, older than ComfyUI's.
}
"""Allowed classes of each part."""
UNUSED = "feature_extractor"
COUNTS, FACTOR, BANDWIDTHS = ("num_layers", "num_blocks"), "layer_scale_init_value", "adanorm_num_embeddings"
LARGEST_SIZE = 1 << 16
"""Largest width of a layer, and largest number of samples of a frame."""
MEL = {
    "sample_rate": SAMPLE_RATE, "n_fft": 1024, "hop_length": HOP_LENGTH, "n_mels": MEL_BINS, "padding": "same",
    "f_min": 0, "f_max": 8000, "mel_scale": "slaney", "norm": "slaney",
}  # fmt: skip
"""Parameters of UniAVGen's mel spectrogram, in the names of feature extractors."""
STOCK_EXTRACTOR = "vocos.feature_extractors.MelSpectrogramFeatures"
STOCK_MEL = {"padding": "center", "f_max": SAMPLE_RATE // 2, "mel_scale": "htk", "norm": None}
"""Defaults of the package's own feature extractor."""


def is_vocos(folder: Path) -> bool:
    """True if a vocoder folder is a Vocos, complete or not, by the names of its files."""
    names = {name for name in (PICKLED_WEIGHTS, BIGVGAN_CONFIG, VOCOS_CONFIG) if os.path.lexists(folder / name)}
    return VOCOS_CONFIG in names or (PICKLED_WEIGHTS in names and BIGVGAN_CONFIG not in names)


def load_vocos(folder: Path, on_notice: OnNotice = lambda _: None, on_tensor: OnTensor = lambda: None) -> nn.Module:
    """Load a Vocos that was trained on UniAVGen's mel, without any download and without running code of a file.

    Args:
        folder: Folder with config.yaml, and pytorch_model.bin or model.safetensors.
        on_notice: Called with notices about unexpected but harmless content.
        on_tensor: Called before each tensor is loaded.

    Returns:
        ``backbone`` and ``head`` in sequence, (B, 80, F) to (B, 240 F), in float32, without gradients, on the CPU.

    Raises:
        VocoderError: If something is missing or wrong in the folder; the message names it.
        ImportError: If the package ``vocos`` is not installed.
    """
    parts, classes = _read_config(folder), _classes()
    _check_sizes(folder, parts)
    _check_frames(folder, parts["backbone"]["init_args"], parts["head"]["init_args"])
    _check_mel(folder, parts[UNUSED])
    build = partial(_build, parts, classes)
    tensors = {name: value for name, value in read_weights(folder).items() if not name.startswith(f"{UNUSED}.")}
    check_weights(build, tensors, folder / VOCOS_CONFIG)
    network = without_random_numbers(build)
    buffers = dict(network.named_buffers())  # The window, exact whatever the dtype of the file.
    fill(network, {name: buffers.get(name, value) for name, value in tensors.items()}, folder, on_notice, on_tensor)
    return network


class PlainLoader(yaml.SafeLoader):
    """Reads YAML without aliases, of which a short file can unfold into any number of values."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Compose the next node, which must not be an alias."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("it repeats a part of itself by an alias")
        return super().compose_node(parent, index)


def _read_config(folder: Path) -> dict[str, dict]:
    """Class path and arguments of each part, with known classes only."""
    path = config_of(folder, VOCOS_CONFIG)
    try:
        values = yaml.load(read_text(path, MOST_CONFIG_BYTES), Loader=PlainLoader)
    except CheckpointError as error:
        raise VocoderError(str(error)) from error
    except (yaml.YAMLError, *RAW_ERRORS) as error:
        raise VocoderError(f"{path} is not YAML of plain values ({shown(error)}).") from error
    values = values if isinstance(values, dict) else {}
    parts = {part: _part(values.get(part)) for part in (*PARTS, UNUSED)}
    for part, known in PARTS.items():
        if parts[part]["class_path"] not in known:
            raise VocoderError(
                f"{path} names {shown(repr(parts[part]['class_path']))} as its {part}; a Vocos has "
                f"{' or '.join(known)} there."
            )
    return parts


def _part(values: Any) -> dict:
    values = values if isinstance(values, dict) else {}
    arguments = values.get("init_args")
    return {"class_path": values.get("class_path"), "init_args": arguments if isinstance(arguments, dict) else {}}


def _build(parts: dict[str, dict], classes: dict[str, type[nn.Module]]) -> nn.Module:
    """Build the network that config.yaml describes, with random weights."""
    return nn.Sequential(
        OrderedDict((part, classes[parts[part]["class_path"]](**parts[part]["init_args"])) for part in PARTS)
    )


def _check_sizes(folder: Path, parts: dict[str, dict]) -> None:
    """Reject arguments that no vocoder has, before anything is built with them."""
    for part in PARTS:
        for name, value in parts[part]["init_args"].items():
            is_size = type(value) is int and 0 < value <= (MOST_LAYERS if name in COUNTS else LARGEST_SIZE)
            is_factor = isinstance(value, float) and 0 <= value <= 1
            is_left_out = value is None and name in (FACTOR, BANDWIDTHS)
            if not (is_size or (is_factor and name == FACTOR) or is_left_out or name == "padding"):
                raise VocoderError(
                    f"{folder / VOCOS_CONFIG} describes no vocoder that can be built ({shown(name)} of its {part} is "
                    f"{shown(repr(value))})."
                )
    if parts["backbone"]["init_args"].get(BANDWIDTHS) is not None:
        raise VocoderError(f"The vocoder in {folder} wants a bandwidth ({BANDWIDTHS}); a mel has none.")


def _check_frames(folder: Path, backbone: dict[str, Any], head: dict[str, Any]) -> None:
    """Reject arguments of a backbone and a head whose frames are not those of UniAVGen's mel."""
    mel_bins, hop_length = backbone.get("input_channels"), head.get("hop_length")
    if mel_bins is not None and hop_length is not None:
        check_frame(folder, mel_bins, hop_length)
    padding, n_fft = head.get("padding", "same"), head.get("n_fft")
    if padding != "same":
        raise VocoderError(
            f"The vocoder in {folder} has padding {shown(repr(padding))} in its head, which centers a frame on its "
            "first sample; UniAVGen's frames are centered on the middle of their samples, which is padding 'same'."
        )
    if not isinstance(n_fft, int) or n_fft % 2 or n_fft <= HOP_LENGTH:
        raise VocoderError(f"The vocoder in {folder} has n_fft {shown(n_fft)}; it must be even and above {HOP_LENGTH}.")


def _check_mel(folder: Path, extractor: dict) -> None:
    """Reject a vocoder whose config.yaml describes another mel spectrogram."""
    stock = STOCK_MEL if extractor["class_path"] == STOCK_EXTRACTOR else {}
    given = {**stock, **extractor["init_args"]}
    wrong = [(name, value) for name, value in MEL.items() if given.get(name, value) != value]
    other = [f"{name} {shown(repr(given[name]))}, not {value!r}" for name, value in wrong]
    if other:
        raise VocoderError(
            f"The vocoder in {folder} was trained on another mel than UniAVGen's: by {VOCOS_CONFIG}, "
            f"{shown(extractor['class_path'])} has {'; '.join(other)}."
        )


def _classes() -> dict[str, type[nn.Module]]:
    """Import the package's classes by class path; lazily, because the package is optional."""
    try:
        from vocos import heads, models
    except ImportError as error:
        raise ImportError(
            f"A Vocos needs the package vocos, which cannot be imported ({error}). Install it in ComfyUI's Python: "
            "pip install vocos"
        ) from error
    modules = {"vocos.heads": heads, "vocos.models": models}
    known = [path.rpartition(".") for paths in PARTS.values() for path in paths]
    return {f"{module}.{name}": getattr(modules[module], name) for module, _, name in known}
