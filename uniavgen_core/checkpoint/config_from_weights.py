"""Contents and configuration of a checkpoint, from tensor names and shapes and, where needed, metadata."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from ..config import RELEASED, BranchConfig, ModelConfig, TextConfig, from_dict, to_dict

METADATA_KEY = "uniavgen_config"
KNOWN_TEXT_KEY = "uniavgen_known_text"
"""Metadata key of a model's known texts: JSON of ``words`` and ``longest_voice_text``, or ``{}`` for any text."""
PREVIEW_KEY = "uniavgen_preview"
"""Metadata key of preview colours: JSON of ``factors`` and ``bias``, linear in the latent, in [-1, 1]."""
RELEASED_HEAD_DIM = 128


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


class NotUniAVGenError(ValueError):
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
        ValueError: If the metadata is not a configuration, or names unknown fields.
    """
    contents = contents_of(shapes)
    if contents is None:
        raise NotUniAVGenError(
            f"{_absent(shapes)} Choose the UniAVGen joint model, Wan2.2-TI2V-5B as its video branch alone, or its "
            f"audio branch alone.{hint_of(name for name in shapes if not name.startswith('audio_'))}"
        )
    overrides = _overrides(metadata or {})
    sizes = _sizes(shapes, contents, overrides)
    if contents is not Contents.JOINT:
        overrides = overrides | {"num_interactions": 0}
    return Network(contents, from_dict(ModelConfig, overrides, replace(RELEASED, **sizes)))


def config_from_shapes(shapes: Shapes, metadata: Mapping[str, str] | None = None) -> ModelConfig:
    """Determine the configuration of a joint checkpoint; see ``network_of``.

    Raises:
        NotUniAVGenError: If the tensors do not belong to a joint UniAVGen network.
        ValueError: If the metadata is not a configuration, or names unknown fields.
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
    """Count the layers whose tensor names begin with ``prefix`` and the layer's number."""
    numbers = (name[len(prefix) :].split(".")[0] for name in shapes if name.startswith(prefix))
    return 1 + max((int(number) for number in numbers if number.isdecimal()), default=-1)


def metadata_of(config: ModelConfig) -> dict[str, str]:
    """Metadata from which ``config_from_shapes`` restores ``config``."""
    return {METADATA_KEY: json.dumps(to_dict(config))}


def _overrides(metadata: Mapping[str, str]) -> dict:
    text = metadata.get(METADATA_KEY, "{}")
    try:
        overrides = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"The file's metadata entry {METADATA_KEY} is not JSON: {error}.") from error
    if not isinstance(overrides, dict):
        raise ValueError(f"The file's metadata entry {METADATA_KEY} is not a JSON object.")
    return overrides


def _branch(dim: int, ffn_dim: int, overrides: Mapping) -> BranchConfig:
    return BranchConfig(dim, ffn_dim, overrides.get("num_heads", max(1, dim // RELEASED_HEAD_DIM)))


def _sizes(shapes: Shapes, contents: Contents, overrides: Mapping) -> dict[str, Any]:
    """Fields of the configuration that the shapes give."""
    sizes: dict[str, Any] = {}
    text: dict[str, int] = {}
    if contents is not Contents.AUDIO:
        patches = shapes["patch_embedding.weight"]
        sizes["video"] = _branch(patches[0], shapes["blocks.0.ffn.0.weight"][0], overrides.get("video", {}))
        sizes["latent_channels"], sizes["patch_size"] = patches[1], patches[-1]
        sizes["num_interactions"] = count_layers(shapes, "a2v_blocks.")
        caption = "text_embedding_video" if contents is Contents.JOINT else "text_embedding"
        text["caption_dim"] = shapes[f"{caption}.0.weight"][1]
    if contents is not Contents.VIDEO:
        frames = shapes["audio_embedding.0.weight"]
        sizes["audio"] = _branch(frames[0], shapes["audio_blocks.0.ffn.0.weight"][0], overrides.get("audio", {}))
        sizes["mel_bins"] = frames[1]
        text["vocabulary"], text["speech_dim"] = shapes["text_embedding.text_embed.weight"]
        text["speech_ffn_dim"] = shapes["text_embedding.text_blocks.0.pwconv1.weight"][0]
        text["speech_blocks"] = count_layers(shapes, "text_embedding.text_blocks.")
    is_audio = contents is Contents.AUDIO
    sizes["num_layers"] = count_layers(shapes, "audio_blocks." if is_audio else "blocks.")
    sizes["time_dim"] = shapes["time_embedding_audio.0.weight" if is_audio else "time_embedding.0.weight"][1]
    return {**sizes, "text": TextConfig(**text)}


def _absent(shapes: Shapes) -> str:
    """Sentence that names a tensor of the joint network that is not in the file."""
    absent = [name for name in KEY_TENSORS[Contents.JOINT] if name not in shapes]
    return (
        f"This is not a UniAVGen checkpoint: it has no tensor named {absent[0]} "
        f"({len(shapes)} tensors, such as {', '.join(sorted(shapes)[:2]) or 'none'})."
    )
