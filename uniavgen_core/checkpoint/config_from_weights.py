"""Contents and configuration of a checkpoint, from tensor names and shapes and, where needed, metadata."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from ..config import RELEASED, ModelConfig, from_dict, to_dict
from .checked_files import CheckpointError, parse_object, shown
from .config_checks import MOST_LAYERS, check_agreement, check_bounds, check_types

METADATA_KEY = "uniavgen_config"
KNOWN_TEXT_KEY = "uniavgen_known_text"
"""Metadata key of a model's known texts: JSON of ``words`` and ``longest_voice_text``, or ``{}`` for any text."""
PREVIEW_KEY = "uniavgen_preview"
"""Metadata key of preview colours: JSON of ``factors`` and ``bias``, linear in the latent, in [-1, 1]."""
RELEASED_HEAD_DIM = 128
SMALLEST_HEAD_DIM = 8
PATCH_AXES = 5
QUANTISED_MARKS = (".comfy_quant", ".scale_weight")
"""Ends of the names of tensors that mark a layer whose weight is quantised in ComfyUI's format."""


class Contents(Enum):
    """Part of the network in a checkpoint: the joint network or one branch."""

    JOINT = "joint"
    VIDEO = "video"
    """The video branch on its own, in the names of Wan2.2-TI2V-5B."""
    AUDIO = "audio"
    """The audio branch on its own."""


KEY_TENSORS = {
    Contents.JOINT: (
        "patch_embedding.weight",
        "audio_embedding.0.weight",
        "text_embedding_video.0.weight",
        "text_embedding.text_embed.weight",
        "text_embedding.text_blocks.0.pwconv1.weight",
        "time_embedding.0.weight",
        "blocks.0.ffn.0.weight",
        "audio_blocks.0.ffn.0.weight",
        "a2v_blocks.0.q.weight",
    ),
    Contents.VIDEO: (
        "patch_embedding.weight",
        "text_embedding.0.weight",
        "time_embedding.0.weight",
        "blocks.0.ffn.0.weight",
    ),
    Contents.AUDIO: (
        "audio_embedding.0.weight",
        "text_embedding.text_embed.weight",
        "text_embedding.text_blocks.0.pwconv1.weight",
        "time_embedding_audio.0.weight",
        "audio_blocks.0.ffn.0.weight",
    ),
}
"""Tensors that identify the network and give its sizes."""
_VIDEO_SIZES = {
    "video.dim": ("patch_embedding.weight", 0),
    "video.ffn_dim": ("blocks.0.ffn.0.weight", 0),
    "latent_channels": ("patch_embedding.weight", 1),
    "patch_size": ("patch_embedding.weight", -1),
}
_AUDIO_SIZES = {
    "audio.dim": ("audio_embedding.0.weight", 0),
    "audio.ffn_dim": ("audio_blocks.0.ffn.0.weight", 0),
    "mel_bins": ("audio_embedding.0.weight", 1),
    "text.vocabulary": ("text_embedding.text_embed.weight", 0),
    "text.speech_dim": ("text_embedding.text_embed.weight", 1),
    "text.speech_ffn_dim": ("text_embedding.text_blocks.0.pwconv1.weight", 0),
}
SIZES = {
    Contents.JOINT: {
        **_VIDEO_SIZES,
        **_AUDIO_SIZES,
        "text.caption_dim": ("text_embedding_video.0.weight", 1),
        "time_dim": ("time_embedding.0.weight", 1),
    },
    Contents.VIDEO: {
        **_VIDEO_SIZES,
        "text.caption_dim": ("text_embedding.0.weight", 1),
        "time_dim": ("time_embedding.0.weight", 1),
    },
    Contents.AUDIO: {**_AUDIO_SIZES, "time_dim": ("time_embedding_audio.0.weight", 1)},
}
"""Path of a field of the configuration to the tensor and the axis that give it."""
SUBJECT = f"The file's metadata entry {METADATA_KEY}"
PREFIX_OF_OTHER_BRANCH = {Contents.VIDEO: "audio_blocks.", Contents.AUDIO: "blocks."}
"""Prefix of tensor names that a file of one branch cannot have."""
OTHER_MODELS = {
    "condition_embedder": "it has the names of diffusers; choose the original files, or ComfyUI's single file",
    "audio_blocks": "it is a whole UniAVGen checkpoint; load it as one",
    "img_emb": "it is one of Wan's models for images to video, with layers the branch does not have",
    "vace_blocks": "it is one of Wan's VACE models, with layers the branch does not have",
}
"""First components of tensor names that identify another model."""

Shapes = Mapping[str, Sequence[int]]


class NotUniAVGenError(CheckpointError):
    """The file holds no UniAVGen network."""


@dataclass(frozen=True)
class Network:
    """The network, or a branch of it, in a checkpoint.

    The sizes of an absent branch are unused; they are the release's unless metadata overrides them.
    """

    contents: Contents
    config: ModelConfig


def contents_of(names: Collection[str]) -> Contents | None:
    """Contents of a checkpoint with these tensor names; None for another network."""
    for contents, required in KEY_TENSORS.items():
        other = PREFIX_OF_OTHER_BRANCH.get(contents)
        if all(name in names for name in required) and not (other and any(name.startswith(other) for name in names)):
            return contents
    return None


def network_of(shapes: Shapes, metadata: Mapping[str, str] | None = None) -> Network:
    """Determine the contents and configuration of a checkpoint.

    Args:
        shapes: Tensor name to shape: the joint network or the audio branch in the release's names, or the video branch
            in Wan's.
        metadata: The file's metadata. Its ``uniavgen_config`` entry, JSON of a full or partial ``ModelConfig``, gives
            the fields that shapes do not (heads, caption length, variant). Without it they are the release's.

    Raises:
        NotUniAVGenError: If the tensors belong neither to a UniAVGen network nor to a branch.
        CheckpointError: If the metadata is not a configuration, names unknown fields, or gives values that a network
            cannot have or that the shapes contradict.
    """
    contents = contents_of(shapes)
    if contents is None:
        raise NotUniAVGenError(
            f"{_absent(shapes)} Choose the UniAVGen joint model, Wan2.2-TI2V-5B as its video branch alone, or its "
            f"audio branch alone.{hint_of(name for name in shapes if not name.startswith('audio_'))}"
        )
    return Network(contents, _config_of(shapes, contents, metadata or {}))


def config_from_shapes(shapes: Shapes, metadata: Mapping[str, str] | None = None) -> ModelConfig:
    """Determine the configuration of a joint checkpoint; see ``network_of``.

    Raises:
        NotUniAVGenError: If the tensors do not belong to a joint UniAVGen network.
        CheckpointError: If the metadata is not a configuration of this network; see ``network_of``.
    """
    if contents_of(shapes) is not Contents.JOINT:
        raise NotUniAVGenError(
            f"{_absent(shapes)} Choose the UniAVGen joint model; the video model alone (Wan2.2-TI2V-5B) has no audio "
            f"branch, nor the audio branch alone a video branch."
        )
    return network_of(shapes, metadata).config


def hint_of(names: Iterable[str]) -> str:
    """Sentence, after a space, that names the other model with these tensor names; empty if none is known."""
    firsts = {name.split(".")[0] for name in names}
    hints = [text for first, text in OTHER_MODELS.items() if first in firsts]
    return f" This is not the Wan2.2-TI2V-5B file: {hints[0]}." if hints else ""


def count_layers(shapes: Shapes, prefix: str) -> int:
    """Count the layers whose tensor names begin with ``prefix`` and the layer's number.

    Raises:
        CheckpointError: If a number is larger than that of any layer that a network can have.
    """
    last = -1
    for name in shapes:
        number = name[len(prefix) :].split(".")[0] if name.startswith(prefix) else ""
        if number.isdecimal():
            if len(number) > len(str(MOST_LAYERS)) or int(number) >= MOST_LAYERS:
                raise CheckpointError(
                    f"Its tensor {shown(name)} belongs to no network: a network has at most {MOST_LAYERS} layers. "
                    "Choose another file, or get this one again from its source."
                )
            last = max(last, int(number))
    return 1 + last


def metadata_of(config: ModelConfig) -> dict[str, str]:
    """Metadata from which ``config_from_shapes`` restores ``config``."""
    return {METADATA_KEY: json.dumps(to_dict(config))}


def _config_of(shapes: Shapes, contents: Contents, metadata: Mapping[str, str]) -> ModelConfig:
    _check_axes(shapes, contents)
    overrides = _overrides(metadata)
    sizes = _sizes(shapes, contents)
    if contents is not Contents.JOINT:
        overrides = overrides | {"num_interactions": 0}
    try:
        config = from_dict(ModelConfig, overrides, from_dict(ModelConfig, _fields(sizes, overrides), RELEASED))
    except ValueError as error:
        raise CheckpointError(f"The configuration cannot be one of the network: {shown(error)}") from error
    check_bounds(config)
    check_agreement(config, {name: size for name, size in sizes.items() if name not in _packed(shapes)}, SUBJECT)
    _check_heads(config, contents)
    return config


def _overrides(metadata: Mapping[str, str]) -> dict:
    overrides = parse_object(metadata.get(METADATA_KEY, "{}"), SUBJECT)
    check_types(ModelConfig, overrides, SUBJECT)
    return overrides


def _check_axes(shapes: Shapes, contents: Contents) -> None:
    """Refuse tensors without the axes from which sizes are read."""
    for name in KEY_TENSORS[contents]:
        axes = PATCH_AXES if name == "patch_embedding.weight" else 2
        if len(shapes[name]) != axes or 0 in shapes[name]:
            raise CheckpointError(
                f"The checkpoint does not fit the model: {name} has the shape {shown(tuple(shapes[name]))}, not one of "
                f"{axes} axes with at least one number each."
            )


def _check_heads(config: ModelConfig, contents: Contents) -> None:
    """Refuse attention heads, whose number tensors do not give, that are too narrow for rotary positions."""
    branches = {Contents.VIDEO: (config.video,), Contents.AUDIO: (config.audio,)}
    for branch in branches.get(contents, (config.video, config.audio)):
        if branch.head_dim < SMALLEST_HEAD_DIM:
            raise CheckpointError(
                f"{SUBJECT} gives {branch.num_heads} heads to a width of {branch.dim}; a head has at least "
                f"{SMALLEST_HEAD_DIM} channels."
            )


def _fields(sizes: Mapping[str, int], overrides: Mapping) -> dict[str, Any]:
    """Nest sizes by path as fields of a configuration; heads are the metadata's, or as wide as the release's."""
    nested: dict[str, Any] = {}
    for path, size in sizes.items():
        part, _, name = path.rpartition(".")
        (nested.setdefault(part, {}) if part else nested)[name] = size
    for branch in ("video", "audio"):
        if branch in nested:
            heads = max(1, nested[branch]["dim"] // RELEASED_HEAD_DIM)
            nested[branch]["num_heads"] = overrides.get(branch, {}).get("num_heads", heads)
    return nested


def _sizes(shapes: Shapes, contents: Contents) -> dict[str, int]:
    """Path of each field of the configuration that the shapes give, to its value."""
    sizes = {path: shapes[name][axis] for path, (name, axis) in SIZES[contents].items()}
    prefixes = {Contents.JOINT: ("blocks.", "audio_blocks."), Contents.VIDEO: ("blocks.",)}
    sizes["num_layers"] = max(count_layers(shapes, prefix) for prefix in prefixes.get(contents, ("audio_blocks.",)))
    sizes["num_interactions"] = count_layers(shapes, "a2v_blocks.") if contents is Contents.JOINT else 0
    if contents is not Contents.VIDEO:
        sizes["text.speech_blocks"] = count_layers(shapes, "text_embedding.text_blocks.")
    return sizes


def _packed(shapes: Shapes) -> set[str]:
    """Paths of the sizes whose weights are quantised, and perhaps packed along the axis that would give them."""
    layers = {name.rpartition(".")[0] for name in shapes if name.endswith(QUANTISED_MARKS)}
    axes = [entry for sizes in SIZES.values() for entry in sizes.items()]
    return {path for path, (name, axis) in axes if axis == 1 and name.rpartition(".")[0] in layers}


def _absent(shapes: Shapes) -> str:
    """Sentence that names a tensor of the joint network that is not in the file."""
    absent = [name for name in KEY_TENSORS[Contents.JOINT] if name not in shapes]
    return (
        f"This is not a UniAVGen checkpoint: it has no tensor named {absent[0]} "
        f"({len(shapes)} tensors, such as {', '.join(map(shown, sorted(shapes)[:2])) or 'none'})."
    )
