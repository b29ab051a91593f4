"""Loads a Vocos folder, config.yaml with weights, into the layers of the package ``vocos``, which is optional.

Only a backbone and a head are built, and only of the classes listed here: a config.yaml names classes to be imported,
which a file must not choose freely. The feature extractor is left out, because UniAVGen's own mel takes its place.
"""

from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor, nn

from ..shapes import HOP_LENGTH, MEL_BINS, SAMPLE_RATE
from .bigvgan_files import CONFIG_FILE as BIGVGAN_CONFIG
from .bigvgan_files import OnNotice, VocoderError, check_frame, config_of, fill, ignore
from .load_weights import read_tensors
from .pickled_tensors import read_pickle
from .weight_files import CheckpointError

VOCOS_CONFIG = "config.yaml"
VOCOS_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
"""Files that may hold the weights, the preferred one first."""
PARTS = {
    "backbone": ("vocos.models.VocosBackbone", "vocos.models.VocosResNetBackbone"),
    "head": ("vocos.heads.ISTFTHead",),  # the others need a scipy before 1.13, which ComfyUI's is not
}
"""Classes a part may be of."""
UNUSED = "feature_extractor"
MEL = {
    "sample_rate": SAMPLE_RATE, "n_fft": 1024, "hop_length": HOP_LENGTH, "n_mels": MEL_BINS, "padding": "same",
    "f_min": 0, "f_max": 8000, "mel_scale": "slaney", "norm": "slaney",
}  # fmt: skip
"""UniAVGen's mel in the words that feature extractors have for theirs."""
STOCK_EXTRACTOR = "vocos.feature_extractors.MelSpectrogramFeatures"
STOCK_MEL = {"padding": "center", "f_max": SAMPLE_RATE // 2, "mel_scale": "htk", "norm": None}
"""What the package's own feature extractor does where it is told nothing."""


def is_vocos(folder: Path) -> bool:
    """Whether a vocoder folder is a Vocos, whole or not, by the names of its files."""
    has_weights = (folder / VOCOS_WEIGHTS[1]).is_file() and not (folder / BIGVGAN_CONFIG).is_file()
    return (folder / VOCOS_CONFIG).is_file() or has_weights


def load_vocos(folder: Path | str, on_notice: OnNotice = ignore) -> nn.Module:
    """Load a Vocos that was trained on UniAVGen's mel; nothing is ever downloaded, and no code of a file is run.

    Args:
        folder: Holds config.yaml, and pytorch_model.bin or model.safetensors.
        on_notice: Told what of the folder is unexpected and harms nothing.

    Returns:
        ``backbone`` and ``head`` in a row, (B, 80, F) to (B, 240 F), in float32, without gradients, on the CPU.

    Raises:
        VocoderError: Saying what is missing or wrong in the folder.
        ImportError: If the package ``vocos`` is not installed.
    """
    folder = Path(folder)
    network = _build(folder, _read_config(folder))
    tensors = _read_weights(folder)
    built = dict(network.named_buffers())  # the window, exact whatever dtype the file is in
    used = {name: built.get(name, value) for name, value in tensors.items() if not name.startswith(f"{UNUSED}.")}
    fill(network, used, folder, on_notice)
    return network


def _read_config(folder: Path) -> dict[str, dict]:
    """Part to class_path and init_args, with a class that is known."""
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


def _part(said: Any) -> dict:
    said = said if isinstance(said, dict) else {}
    arguments = said.get("init_args")
    return {"class_path": said.get("class_path"), "init_args": arguments if isinstance(arguments, dict) else {}}


def _build(folder: Path, parts: dict[str, dict]) -> nn.Module:
    """The network that a folder's config.yaml describes, with weights that mean nothing."""
    classes = _classes()
    try:
        with torch.random.fork_rng(devices=[]):  # its initial weights would use up the process's random numbers
            built = {part: classes[parts[part]["class_path"]](**parts[part]["init_args"]) for part in PARTS}
    except Exception as error:  # the package checks nothing itself, so anything may be raised
        raise VocoderError(f"{folder / VOCOS_CONFIG} describes no vocoder that can be built ({error}).") from error
    network = nn.Sequential(OrderedDict(built))
    istft = network.head.istft
    check_frame(folder, network.backbone.input_channels, istft.hop_length)
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
    """Refuse a vocoder whose config.yaml says that it was trained on another mel."""
    stock = STOCK_MEL if extractor["class_path"] == STOCK_EXTRACTOR else {}
    said = {**stock, **extractor["init_args"]}
    other = [f"{name} {said[name]!r}, not {value!r}" for name, value in MEL.items() if said.get(name, value) != value]
    if other:
        raise VocoderError(
            f"The vocoder in {folder} was trained on another mel than UniAVGen's: by {VOCOS_CONFIG}, "
            f"{extractor['class_path']} has {'; '.join(other)}."
        )


def _read_weights(folder: Path) -> dict[str, Tensor]:
    path = next((folder / name for name in VOCOS_WEIGHTS if (folder / name).is_file()), None)
    if path is None:
        raise VocoderError(f"The vocoder folder {folder} has no {' and no '.join(reversed(VOCOS_WEIGHTS))}.")
    try:
        return read_tensors(path)[0] if path.suffix == ".safetensors" else read_pickle(path)
    except CheckpointError as error:
        raise VocoderError(f"The vocoder folder {folder} is damaged. {error}") from error


def _classes() -> dict[str, type[nn.Module]]:
    """The package's classes by class_path; imported late, because the package is optional."""
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
