"""What a checkpoint holds and its sizes: from names and shapes, and where those do not tell, from metadata."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from ..config import RELEASED, BranchConfig, ModelConfig, TextConfig, from_dict, to_dict

METADATA_KEY = "uniavgen_config"
KNOWN_TEXT_KEY = "uniavgen_known_text"
"""Key of the texts a model knows: JSON of ``words`` and ``longest_voice_text``, or ``{}`` for any text."""
PREVIEW_KEY = "uniavgen_preview"
"""Colours of previews, JSON of ``factors`` and ``bias``: linear in the latent, in [-1, 1]."""
RELEASED_HEAD_DIM = 128


class Contents(Enum):
    """What of the network a checkpoint holds."""

    JOINT = "joint"
    VIDEO = "video"
    """The video branch alone, in Wan's names: Wan2.2-TI2V-5B."""
    AUDIO = "audio"
    """The audio branch alone."""


TELLING_NAMES = {
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
"""Tensors that tell the network's sizes, and by which it is known."""
OF_THE_OTHER_BRANCH = {Contents.VIDEO: "audio_blocks.", Contents.AUDIO: "blocks."}
"""Starts of names by which a file is not one branch alone."""
STRANGERS = {
    "condition_embedder": "it has the names of diffusers; choose the original files, or ComfyUI's single file",
    "audio_blocks": "it is a whole UniAVGen checkpoint; load it as one",
    "img_emb": "it is one of Wan's models for images to video, with layers the branch does not have",
    "vace_blocks": "it is one of Wan's VACE models, with layers the branch does not have",
}
"""First parts of names that tell which other file this is."""

Shapes = Mapping[str, Sequence[int]]


class NotUniAVGenError(ValueError):
    """The file holds no UniAVGen network."""


@dataclass(frozen=True)
class Network:
    """A network, or a branch of it, as a checkpoint holds it.

    Attributes:
        contents: What of the network there is.
        config: Its sizes. Those of a branch that is not there are the release's unless metadata says others; nothing
            reads them.
    """

    contents: Contents
    config: ModelConfig


def contents_of(names: Collection[str]) -> Contents | None:
    """What a checkpoint with tensors of these names holds; None for another network."""
    for contents, telling in TELLING_NAMES.items():
        other = OF_THE_OTHER_BRANCH.get(contents)
        if all(name in names for name in telling) and not (other and any(name.startswith(other) for name in names)):
            return contents
    return None


def network_of(shapes: Shapes, metadata: Mapping[str, str] | None = None) -> Network:
    """Work out what a checkpoint holds, and its configuration.

    Args:
        shapes: Tensor name to shape: the joint network or the audio branch in the release's names, or the video branch
            in Wan's.
        metadata: The file's metadata; its ``uniavgen_config`` entry, JSON of a ``ModelConfig`` in part or whole, says
            what shapes cannot (heads, caption length, variant). Without it those are as released.

    Raises:
        NotUniAVGenError: If the tensors are neither a UniAVGen network's nor a branch's.
        ValueError: If the metadata is not a configuration, or names unknown fields.
    """
    contents = contents_of(shapes)
    if contents is None:
        raise NotUniAVGenError(
            f"{_absent(shapes)} Choose the UniAVGen joint model, Wan2.2-TI2V-5B as its video branch alone, or its "
            f"audio branch alone.{hint_of(name for name in shapes if not name.startswith('audio_'))}"
        )
    said = _said(metadata or {})
    audio = "audio_" if contents is Contents.AUDIO else ""
    time = "time_embedding_audio" if contents is Contents.AUDIO else "time_embedding"
    sizes = {
        "text": _text_sizes(shapes, contents),
        "num_layers": _count(shapes, f"{audio}blocks."),
        "time_dim": shapes[f"{time}.0.weight"][1],
    }
    if contents is not Contents.AUDIO:
        sizes |= _video_sizes(shapes, said)
    if contents is not Contents.VIDEO:
        sizes |= _audio_sizes(shapes, said)
    if contents is not Contents.JOINT:
        said = said | {"num_interactions": 0}
    return Network(contents, from_dict(ModelConfig, said, replace(RELEASED, **sizes)))


def config_from_shapes(shapes: Shapes, metadata: Mapping[str, str] | None = None) -> ModelConfig:
    """Work out the configuration of a checkpoint of the joint network; see ``network_of``.

    Raises:
        NotUniAVGenError: If the tensors are not a joint UniAVGen network's.
        ValueError: If the metadata is not a configuration, or names unknown fields.
    """
    if contents_of(shapes) is not Contents.JOINT:
        raise NotUniAVGenError(
            f"{_absent(shapes)} Choose the UniAVGen joint model; the video model alone (Wan2.2-TI2V-5B) has no audio "
            f"branch, nor the audio branch alone a video branch."
        )
    return network_of(shapes, metadata).config


def hint_of(names: Iterable[str]) -> str:
    """A sentence, with a space before it, on which other file has tensors of these names; empty if none is known."""
    firsts = {name.split(".")[0] for name in names}
    hints = [text for first, text in STRANGERS.items() if first in firsts]
    return f" This is not the Wan2.2-TI2V-5B file: {hints[0]}." if hints else ""


def metadata_of(config: ModelConfig) -> dict[str, str]:
    """Metadata that lets ``config_from_shapes`` give ``config`` back."""
    return {METADATA_KEY: json.dumps(to_dict(config))}


def _said(metadata: Mapping[str, str]) -> dict:
    text = metadata.get(METADATA_KEY, "{}")
    try:
        said = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"The file's metadata entry {METADATA_KEY} is not JSON: {error}.") from error
    if not isinstance(said, dict):
        raise ValueError(f"The file's metadata entry {METADATA_KEY} is not a JSON object.")
    return said


def _branch(dim: int, ffn_dim: int, said: Mapping) -> BranchConfig:
    return BranchConfig(dim, ffn_dim, said.get("num_heads", max(1, dim // RELEASED_HEAD_DIM)))


def _count(shapes: Shapes, prefix: str) -> int:
    numbers = (name[len(prefix) :].split(".")[0] for name in shapes if name.startswith(prefix))
    return 1 + max((int(number) for number in numbers if number.isdecimal()), default=-1)


def _video_sizes(shapes: Shapes, said: Mapping) -> dict[str, Any]:
    patches = shapes["patch_embedding.weight"]
    return {
        "video": _branch(patches[0], shapes["blocks.0.ffn.0.weight"][0], said.get("video", {})),
        "num_interactions": _count(shapes, "a2v_blocks."),
        "patch_size": patches[-1],
        "latent_channels": patches[1],
    }


def _audio_sizes(shapes: Shapes, said: Mapping) -> dict[str, Any]:
    frames = shapes["audio_embedding.0.weight"]
    return {
        "audio": _branch(frames[0], shapes["audio_blocks.0.ffn.0.weight"][0], said.get("audio", {})),
        "mel_bins": frames[1],
    }


def _text_sizes(shapes: Shapes, contents: Contents) -> TextConfig:
    sizes = {}
    if contents is not Contents.AUDIO:
        caption = {Contents.JOINT: "text_embedding_video", Contents.VIDEO: "text_embedding"}[contents]
        sizes["caption_dim"] = shapes[f"{caption}.0.weight"][1]
    if contents is not Contents.VIDEO:
        sizes["vocabulary"], sizes["speech_dim"] = shapes["text_embedding.text_embed.weight"]
        sizes["speech_ffn_dim"] = shapes["text_embedding.text_blocks.0.pwconv1.weight"][0]
        sizes["speech_blocks"] = _count(shapes, "text_embedding.text_blocks.")
    return TextConfig(**sizes)


def _absent(shapes: Shapes) -> str:
    """A sentence on what the joint network has and a file of these tensors has not."""
    absent = [name for name in TELLING_NAMES[Contents.JOINT] if name not in shapes]
    return (
        f"This is not a UniAVGen checkpoint: it has no tensor named {absent[0]} "
        f"({len(shapes)} tensors, such as {', '.join(sorted(shapes)[:2]) or 'none'})."
    )
