"""What the pack's nodes write into a conditioning, and what the model reads from it."""

from dataclasses import dataclass, replace
from typing import Any

from ....uniavgen_core.config import Interaction
from ....uniavgen_core.model.face_mask import SteeringMode

KEY = "uniavgen"
REFERENCE_IMAGE_KEY = "uniavgen_reference_image"
REFERENCE_VOICE_KEY = "uniavgen_reference_voice"
FACE_MASK_KEY = "uniavgen_face_mask"
REFERENCE_KEYS = (REFERENCE_IMAGE_KEY, REFERENCE_VOICE_KEY, FACE_MASK_KEY)
"""Latent of the reference image (1, 48, 1, H, W), mel of each track's reference voice (1, K, R, 80), and the user's
face mask of each track (1, K, T, H, W)."""


@dataclass(frozen=True)
class Speech:
    """What one audio track says.

    Attributes:
        text: The transcript, prepared for the network; None for the null text.
        voice_text: Transcript of the reference voice; empty if it has none.
        kept_text: Transcript of the sound that is kept before the text; empty if it has none.
        start: When the transcript begins in the clip, seconds.
        stop: When a track of several has ended, seconds; None for the clip's end.
        as_written: The transcript as the user wrote it; None where it is not known.
    """

    text: str | None = None
    voice_text: str = ""
    kept_text: str = ""
    start: float = 0.0
    stop: float | None = None
    as_written: str | None = None


@dataclass(frozen=True)
class Steering:
    """How the user's face masks meet the predicted ones, and at which noise levels.

    Attributes:
        mode: What a mask does.
        strength: Share of the way from the predicted mask to the combined one.
        start: Noise level at which steering begins; 1 is pure noise.
        stop: Noise level at which it ends.
    """

    mode: SteeringMode = SteeringMode.REPLACE
    strength: float = 1.0
    start: float = 1.0
    stop: float = 0.0


@dataclass(frozen=True)
class PassSettings:
    """One pass of the network, as it rides in a conditioning. Hashable and comparable, so that ComfyUI can batch by it.

    Attributes:
        speeches: What each audio track says.
        interaction: Directions that update their target.
        late_null: Directions of the null passes after the share without interaction; None for this pass's own.
        skipped_layer: Layer left out; None for none.
        steering: How face masks of the conditioning are used.
    """

    speeches: tuple[Speech, ...] = (Speech(),)
    interaction: Interaction = Interaction.BOTH
    late_null: Interaction | None = None
    skipped_layer: int | None = None
    steering: Steering = Steering()

    @property
    def has_speech(self) -> bool:
        """Whether a transcript was given."""
        return any(speech.text is not None for speech in self.speeches)

    def as_null(self, interaction: Interaction, skipped_layer: int | None) -> "PassSettings":
        """The null pass that belongs to this one."""
        silent = tuple(replace(speech, text=None, as_written=None) for speech in self.speeches)
        return replace(self, speeches=silent, interaction=interaction, skipped_layer=skipped_layer)


def pass_settings_of(conditioning: dict) -> PassSettings:
    """The pass a conditioning's dictionary asks for; the default where no node of the pack wrote one."""
    return conditioning.get(KEY) or PassSettings()


def has_speech(conditioning: list) -> bool:
    """Whether any entry of a CONDITIONING has a transcript."""
    return any(pass_settings_of(options).has_speech for _, options in conditioning)


def set_values(conditioning: list, values: dict) -> list:
    """Copy of a CONDITIONING with ``values`` in every entry."""
    return [[features, {**options, **values}] for features, options in conditioning]


def set_pass(conditioning: list, **changes: Any) -> list:
    """Copy of a CONDITIONING with some fields of every entry's pass changed."""
    return [
        [features, {**options, KEY: replace(pass_settings_of(options), **changes)}]
        for features, options in conditioning
    ]


def set_speech(conditioning: list, **changes: Any) -> list:
    """Copy of a CONDITIONING with some fields of every track's speech changed."""
    changed = []
    for entry in conditioning:
        speeches = tuple(replace(speech, **changes) for speech in pass_settings_of(entry[1]).speeches)
        changed += set_pass([entry], speeches=speeches)
    return changed


def with_original_transcripts(conditioning: list) -> list:
    """Copy of a CONDITIONING whose transcripts are as the user wrote them."""
    written = []
    for entry in conditioning:
        speeches = tuple(
            speech if speech.as_written is None else replace(speech, text=speech.as_written)
            for speech in pass_settings_of(entry[1]).speeches
        )
        written += set_pass([entry], speeches=speeches)
    return written
