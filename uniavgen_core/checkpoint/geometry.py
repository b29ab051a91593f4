"""Reads a model's sizes from its checkpoint: from the shapes, and where those do not tell, from metadata."""

import json
from collections.abc import Mapping, Sequence

from ..config import BranchConfig, ModelConfig, TextConfig, from_dict, to_dict

METADATA_KEY = "uniavgen_config"
PREVIEW_KEY = "uniavgen_preview"
"""Colours of previews, JSON of ``factors`` and ``bias``: linear in the latent, in [-1, 1]."""
RELEASED_HEAD_DIM = 128
TELLING_NAMES = (
    "patch_embedding.weight",
    "audio_embedding.0.weight",
    "text_embedding_video.0.weight",
    "text_embedding.text_embed.weight",
    "text_embedding.text_blocks.0.pwconv1.weight",
    "time_embedding.0.weight",
    "blocks.0.ffn.0.weight",
    "audio_blocks.0.ffn.0.weight",
    "a2v_blocks.0.q.weight",
)
"""Tensors that tell the network's sizes, and by which it is known."""

Shapes = Mapping[str, Sequence[int]]


class NotUniAVGenError(ValueError):
    """The file holds no UniAVGen network."""


def config_from_shapes(shapes: Shapes, metadata: Mapping[str, str] | None = None) -> ModelConfig:
    """Work out the configuration of a checkpoint.

    Args:
        shapes: Tensor name to shape, in the release's names.
        metadata: The file's metadata; its ``uniavgen_config`` entry, JSON of a ``ModelConfig`` in part or whole, says
            what shapes cannot (heads, caption length, variant). Without it those are as released.

    Raises:
        NotUniAVGenError: If the tensors are not a UniAVGen network's.
        ValueError: If the metadata is not a configuration, or names unknown fields.
    """
    _require(shapes)
    said = _said(metadata or {})
    video_dim, audio_dim = shapes["patch_embedding.weight"][0], shapes["audio_embedding.0.weight"][0]
    text = TextConfig(
        vocabulary=shapes["text_embedding.text_embed.weight"][0],
        speech_dim=shapes["text_embedding.text_embed.weight"][1],
        speech_ffn_dim=shapes["text_embedding.text_blocks.0.pwconv1.weight"][0],
        speech_blocks=_count(shapes, "text_embedding.text_blocks."),
        caption_dim=shapes["text_embedding_video.0.weight"][1],
    )
    config = ModelConfig(
        video=_branch(video_dim, shapes["blocks.0.ffn.0.weight"][0], said.get("video", {})),
        audio=_branch(audio_dim, shapes["audio_blocks.0.ffn.0.weight"][0], said.get("audio", {})),
        text=text,
        num_layers=_count(shapes, "blocks."),
        num_interactions=_count(shapes, "a2v_blocks."),
        patch_size=shapes["patch_embedding.weight"][-1],
        latent_channels=shapes["patch_embedding.weight"][1],
        mel_bins=shapes["audio_embedding.0.weight"][1],
        time_dim=shapes["time_embedding.0.weight"][1],
    )
    return from_dict(ModelConfig, said, base=config)


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
    return 1 + max(int(number) for number in numbers if number.isdecimal())


def _require(shapes: Shapes) -> None:
    absent = [name for name in TELLING_NAMES if name not in shapes]
    if absent:
        raise NotUniAVGenError(
            f"This is not a UniAVGen checkpoint: it has no tensor named {absent[0]} "
            f"({len(shapes)} tensors, such as {', '.join(sorted(shapes)[:2]) or 'none'}). "
            "Choose the UniAVGen joint model; the video model alone (Wan2.2-TI2V-5B) has no audio branch."
        )
