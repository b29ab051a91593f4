"""Sizes and switches of the model, as frozen dataclasses. No torch.

Source: UniAVGen (arXiv:2511.03334), its supplement, and its inference release, whose checkpoints load by default.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from enum import Enum
from typing import Any, get_type_hints


class Interaction(Enum):
    """Cross-modal directions that update their target in one pass of the network."""

    BOTH = "both"
    AUDIO_TO_VIDEO = "audio_to_video"
    VIDEO_TO_AUDIO = "video_to_audio"
    OFF = "off"

    @property
    def audio_to_video(self) -> bool:
        """True if audio steers video."""
        return self in (Interaction.BOTH, Interaction.AUDIO_TO_VIDEO)

    @property
    def video_to_audio(self) -> bool:
        """True if video steers audio."""
        return self in (Interaction.BOTH, Interaction.VIDEO_TO_AUDIO)


class Alignment(Enum):
    """Tokens of the other modality that a token attends to.

    ``ASYMMETRIC`` is the model's own (a window of audio for a video latent, an interpolated latent for an audio token);
    ``TEMPORAL`` (the same time span, both ways) and ``GLOBAL`` (the whole clip) are the paper's ablation baselines.
    """

    ASYMMETRIC = "ati"
    TEMPORAL = "sti"
    GLOBAL = "sgi"


class Position(Enum):
    """Position of the exchange within a layer; all but the model's own are the paper's ablation baselines."""

    BEFORE_CROSS_ATTENTION = "before_cross_attention"
    BEFORE_FFN = "before_ffn"
    AFTER_BLOCK = "after_block"
    """The model's own: before the next layer's self-attention."""


class Placement(Enum):
    """Layers that have an interaction; all but the model's own are the paper's ablation baselines."""

    INTERLEAVED = "interleaved"
    """The model's own: every second layer from the first on."""
    FIRST = "first"
    LAST = "last"


@dataclass(frozen=True)
class Variant:
    """Differences of release and paper (``spec`` section 9), and the ablation baselines. Defaults are the release's.

    Attributes:
        a2v_alignment: Audio tokens that a video token attends to.
        v2a_alignment: Video tokens that an audio token attends to.
        position: Position of the exchange within a layer.
        face_modulation: Weigh video tokens by a predicted face mask in both directions; off = all count fully.
        half_window_frames: Video frames by which an audio window is longer than its latent on each side.
        residual_in_output: Feed ``hidden + attention`` to the output projection ``o`` (paper) instead of ``attention``.
        mask_after_output: Gate the output of ``o`` in audio-to-video (paper) instead of its input.
        timed_mask_head: Condition the face mask on the sampling time (release); off = learned scale and shift (paper).
        ramp_over_latent: Interpolate video for audio over a whole latent (paper) instead of one frame after repetition.
        doubled_tail: Let the weights of the last frame sum to two, as in the inference release.
        bfloat16_positions: Compute the interpolation's positions in bfloat16, as the release does when run in it.
    """

    a2v_alignment: Alignment = Alignment.ASYMMETRIC
    v2a_alignment: Alignment = Alignment.ASYMMETRIC
    position: Position = Position.AFTER_BLOCK
    face_modulation: bool = True
    half_window_frames: int = 2
    residual_in_output: bool = False
    mask_after_output: bool = False
    timed_mask_head: bool = True
    ramp_over_latent: bool = False
    doubled_tail: bool = True
    bfloat16_positions: bool = False

    def __post_init__(self) -> None:
        if self.half_window_frames < 0:
            raise ValueError(f"half_window_frames is {self.half_window_frames}; it cannot be negative.")


RELEASE = Variant()
PAPER = Variant(
    residual_in_output=True, mask_after_output=True, timed_mask_head=False, ramp_over_latent=True, doubled_tail=False
)


@dataclass(frozen=True)
class BranchConfig:
    """One transformer branch.

    Attributes:
        dim: Width of a token.
        ffn_dim: Width inside the feed-forward.
        num_heads: Attention heads; ``dim`` is a multiple of it.
    """

    dim: int
    ffn_dim: int
    num_heads: int

    def __post_init__(self) -> None:
        if self.num_heads <= 0 or self.dim % self.num_heads or self.head_dim % 2:
            raise ValueError(f"dim {self.dim} does not split into {self.num_heads} heads of an even width.")

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.dim // self.num_heads


@dataclass(frozen=True)
class TextConfig:
    """The speech text encoder and the caption input.

    Attributes:
        vocabulary: Rows of the speech embedding: characters plus one filler.
        speech_dim: Width of the speech text encoder.
        speech_ffn_dim: Width inside its blocks.
        speech_blocks: Number of its ConvNeXt blocks.
        caption_dim: Width of the caption features (umT5-xxl: 4096).
        caption_length: Caption tokens of the video branch, zeros included.
        position_offset: Mel frame, and so rotary position, at which the first character is expected.
        position_scale: Mel frames per character; offset 0 and scale 1 as released.
        position_margin: Most seconds by which a text ends later than these say, if onset and tempo are left to chance.
    """

    vocabulary: int = 2546
    speech_dim: int = 512
    speech_ffn_dim: int = 1024
    speech_blocks: int = 4
    caption_dim: int = 4096
    caption_length: int = 512
    position_offset: float = 0.0
    position_scale: float = 1.0
    position_margin: float = 0.0

    @property
    def places_words(self) -> bool:
        """True if the network chooses when each word is said; False if every character has its mel frame."""
        return self.position_scale == 1.0

    def spoken_frames(self, characters: int) -> float:
        """Mel frames that a text takes to say where every character has its mel frame."""
        return self.position_offset + self.position_scale * characters


@dataclass(frozen=True)
class ModelConfig:
    """Everything that fixes the network's structure.

    Attributes:
        video: Video branch.
        audio: Audio branch.
        text: Speech text and caption.
        num_layers: Layers of both branches.
        num_interactions: Interaction modules in the checkpoint.
        placement: Layers that they serve: every second one, the first or the last ones. With one for every layer it is
            ``FIRST``.
        patch_size: Latent pixels per token side.
        latent_channels: Channels of the video latent.
        mel_bins: Mel bins of the audio latent.
        time_dim: Width of the sinusoidal time features.
        variant: Release or paper behaviour.
    """

    video: BranchConfig
    audio: BranchConfig
    text: TextConfig = field(default_factory=TextConfig)
    num_layers: int = 30
    num_interactions: int = 15
    placement: Placement = Placement.INTERLEAVED
    patch_size: int = 2
    latent_channels: int = 48
    mel_bins: int = 80
    time_dim: int = 256
    variant: Variant = RELEASE

    def interaction_of(self, layer: int) -> int | None:
        """Index of the interaction module that serves ``layer``, or None."""
        first, spacing = 0, 1
        if self.placement is Placement.INTERLEAVED:
            spacing = 2
        elif self.placement is Placement.LAST:
            first = self.num_layers - self.num_interactions
        index, rest = divmod(layer - first, spacing)
        return index if rest == 0 and 0 <= index < self.num_interactions else None


RELEASED = ModelConfig(video=BranchConfig(3072, 14336, 24), audio=BranchConfig(1536, 8960, 12))
TOON = ModelConfig(
    video=BranchConfig(128, 512, 4),
    audio=BranchConfig(160, 640, 5),
    text=TextConfig(speech_dim=128, speech_ffn_dim=256, speech_blocks=2, caption_dim=64, caption_length=32),
    num_layers=6,
    num_interactions=3,
    patch_size=1,
    time_dim=64,
)


class AfterShare(Enum):
    """Guidance of the steps after the modality-aware share."""

    TEXT_CFG = "text_cfg"
    """Classifier-free guidance by the texts alone, as the release does."""
    NONE = "none"
    """No guidance, as the paper describes."""

    @classmethod
    def _missing_(cls, value: object) -> "AfterShare | None":
        """Read the boolean of earlier files: whether texts guide."""
        return {True: cls.TEXT_CFG, False: cls.NONE}[value] if isinstance(value, bool) else None


@dataclass(frozen=True)
class GuidanceConfig:
    """Modality-aware classifier-free guidance.

    Attributes:
        video_scale: Guidance scale of the video; 1 is none.
        audio_scale: Guidance scale of the audio.
        modality_aware_share: Share of the steps, from the start, whose null pass runs with the interactions off.
        after_share: Guidance of the steps after that share.
        skip_layer: Layer left out of every null pass (skip-layer guidance), or None.
    """

    video_scale: float = 3.0
    audio_scale: float = 2.0
    modality_aware_share: float = 0.5
    after_share: AfterShare = AfterShare.TEXT_CFG
    skip_layer: int | None = 11

    def __post_init__(self) -> None:
        if not 0 <= self.modality_aware_share <= 1:
            raise ValueError(f"modality_aware_share is {self.modality_aware_share}; it must be between 0 and 1.")


RENAMED = {
    Variant: {"alignment": ("a2v_alignment", "v2a_alignment")},
    GuidanceConfig: {
        "share": ("modality_aware_share",),
        "text_guidance_after": ("after_share",),
        "skipped_layer": ("skip_layer",),
    },
}
"""Field names in files of earlier versions, and the fields that they are now."""


def from_dict(kind: type, values: Mapping[str, Any], base: Any = None) -> Any:
    """Build a config dataclass from plain values, as read from JSON.

    Args:
        kind: The dataclass.
        values: Values by field names, those of earlier versions too; dataclasses as mappings, enums by value.
        base: An instance that gives the fields which ``values`` does not name.

    Raises:
        ValueError: If ``values`` names a field that ``kind`` does not have.
    """
    hints = get_type_hints(kind)
    now = RENAMED.get(kind, {})
    values = {name: value for said, value in values.items() for name in now.get(said, (said,))}
    unknown = sorted(set(values) - {f.name for f in fields(kind)})
    if unknown:
        raise ValueError(f"{kind.__name__} has no field named {', '.join(unknown)}.")
    parsed = {}
    for name, value in values.items():
        hint = hints[name]
        if isinstance(hint, type) and is_dataclass(hint):
            value = from_dict(hint, value, getattr(base, name, None))
        elif isinstance(hint, type) and issubclass(hint, Enum):
            value = hint(value)
        parsed[name] = value
    return replace(base, **parsed) if base is not None else kind(**parsed)


def to_dict(config: Any) -> Any:
    """Plain values of a config, ready for JSON; the inverse of ``from_dict``."""
    if isinstance(config, Enum):
        return config.value
    if is_dataclass(config):
        return {f.name: to_dict(getattr(config, f.name)) for f in fields(config)}
    return config
