"""Loading of a Vocos folder, config.yaml and weights, into the layers of the optional package ``vocos``.

Only a backbone and a head are built, and only of the classes listed here, because a file must not choose freely which
classes are imported. The feature extractor is ignored, because UniAVGen's mel spectrogram replaces it.
"""

from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import nn

from ..shapes import HOP_LENGTH, MEL_BINS, SAMPLE_RATE
from .bigvgan_files import CONFIG_FILE as BIGVGAN_CONFIG
from .bigvgan_files import PICKLED_WEIGHTS, OnNotice, VocoderError, check_frame, config_of, fill, read_weights

VOCOS_CONFIG = "config.yaml"
PARTS = {
    "backbone": ("vocos.models.VocosBackbone", "vocos.models.VocosResNetBackbone"),
    "head": ("vocos.heads.ISTFTHead",),  # The others need scipy < 1.13, older than ComfyUI's.
}
"""Allowed classes of each part."""
UNUSED = "feature_extractor"
MEL = {
    "sample_rate": SAMPLE_RATE, "n_fft": 1024, "hop_length": HOP_LENGTH, "n_mels": MEL_BINS, "padding": "same",
    "f_min": 0, "f_max": 8000, "mel_scale": "slaney", "norm": "slaney",
}  # fmt: skip
"""Parameters of UniAVGen's mel spectrogram, in the names of feature extractors."""
STOCK_EXTRACTOR = "vocos.feature_extractors.MelSpectrogramFeatures"
STOCK_MEL = {"padding": "center", "f_max": SAMPLE_RATE // 2, "mel_scale": "htk", "norm": None}
"""Defaults of the package's own feature extractor."""


def is_vocos(folder: Path) -> bool:
    """Whether a vocoder folder is a Vocos, complete or not, by the names of its files."""
    has_weights = (folder / PICKLED_WEIGHTS).is_file() and not (folder / BIGVGAN_CONFIG).is_file()
    return (folder / VOCOS_CONFIG).is_file() or has_weights


def load_vocos(folder: Path, on_notice: OnNotice = lambda _: None) -> nn.Module:
    """Load a Vocos that was trained on UniAVGen's mel, without any download and without running code of a file.

    Args:
        folder: Folder with config.yaml, and pytorch_model.bin or model.safetensors.
        on_notice: Called with notices about unexpected but harmless content.

    Returns:
        ``backbone`` and ``head`` in sequence, (B, 80, F) to (B, 240 F), in float32, without gradients, on the CPU.

    Raises:
        VocoderError: If something is missing or wrong in the folder; the message names it.
        ImportError: If the package ``vocos`` is not installed.
    """
    network = _build(folder, _read_config(folder))
    built = dict(network.named_buffers())  # The window, exact whatever the dtype of the file.
    tensors = read_weights(folder).items()
    used = {name: built.get(name, value) for name, value in tensors if not name.startswith(f"{UNUSED}.")}
    fill(network, used, folder, on_notice)
    return network


def _read_config(folder: Path) -> dict[str, dict]:
    """Class path and arguments of each part, with known classes only."""
    path = config_of(folder, VOCOS_CONFIG)
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError) as error:
        raise VocoderError(f"{path} is not YAML of plain values ({error}).") from error
    values = values if isinstance(values, dict) else {}
    parts = {part: _part(values.get(part)) for part in (*PARTS, UNUSED)}
    for part, known in PARTS.items():
        if parts[part]["class_path"] not in known:
            raise VocoderError(
                f"{path} names {parts[part]['class_path']!r} as its {part}; a Vocos has {' or '.join(known)} there."
            )
    return parts


def _part(values: Any) -> dict:
    values = values if isinstance(values, dict) else {}
    arguments = values.get("init_args")
    return {"class_path": values.get("class_path"), "init_args": arguments if isinstance(arguments, dict) else {}}


def _build(folder: Path, parts: dict[str, dict]) -> nn.Module:
    """Build the network that config.yaml describes, with random weights."""
    classes = _classes()
    try:
        with torch.random.fork_rng(devices=[]):  # its initial weights would use up the process's random numbers
            built: dict[str, Any] = {
                part: classes[parts[part]["class_path"]](**parts[part]["init_args"]) for part in PARTS
            }
    except Exception as error:  # the package checks nothing itself, so anything may be raised
        raise VocoderError(f"{folder / VOCOS_CONFIG} describes no vocoder that can be built ({error}).") from error
    network = nn.Sequential(OrderedDict(built))
    istft = built["head"].istft
    check_frame(folder, built["backbone"].input_channels, istft.hop_length)
    if parts["backbone"]["init_args"].get("adanorm_num_embeddings") is not None:
        raise VocoderError(f"The vocoder in {folder} wants a bandwidth (adanorm_num_embeddings); a mel has none.")
    if istft.padding != "same":
        raise VocoderError(
            f"The vocoder in {folder} has padding {istft.padding!r} in its head, which centres a frame on its first "
            "sample; UniAVGen's frames are centred on the middle of their samples, which is padding 'same'."
        )
    if istft.n_fft % 2 or istft.n_fft <= HOP_LENGTH:
        raise VocoderError(f"The vocoder in {folder} has n_fft {istft.n_fft}; it must be even and above {HOP_LENGTH}.")
    _check_mel(folder, parts[UNUSED])
    return network


def _check_mel(folder: Path, extractor: dict) -> None:
    """Reject a vocoder whose config.yaml describes another mel spectrogram."""
    stock = STOCK_MEL if extractor["class_path"] == STOCK_EXTRACTOR else {}
    given = {**stock, **extractor["init_args"]}
    other = [f"{name} {given[name]!r}, not {value!r}" for name, value in MEL.items() if given.get(name, value) != value]
    if other:
        raise VocoderError(
            f"The vocoder in {folder} was trained on another mel than UniAVGen's: by {VOCOS_CONFIG}, "
            f"{extractor['class_path']} has {'; '.join(other)}."
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
