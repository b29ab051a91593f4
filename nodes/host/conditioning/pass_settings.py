"""Entries that the pack's nodes write into a CONDITIONING and the model reads from it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
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

REGIONS_KEY = "uniavgen_regions"
"""Set for a run whose noise mask keeps parts of video latents: these parts have a time of their own then."""


@dataclass(frozen=True)
class Speech:
    """Speech of one audio track.

    Attributes:
        text: Transcript, prepared for the network; None for the null text.
        voice_transcript: Transcript of the reference voice; empty if it has none.
        kept_transcript: Transcript of the kept sound before the text; empty if it has none.
        start: Start of the transcript in the clip, seconds.
        stop: End of the track in a clip of several speakers, seconds; None for the clip's end.
        as_written: Transcript as the user wrote it; None if it is not known.
    """

    text: str | None = None
    voice_transcript: str = ""
    kept_transcript: str = ""
    start: float = 0.0
    stop: float | None = None
    as_written: str | None = None


@dataclass(frozen=True)
class Steering:
    """Combination of the user's face masks with the predicted ones, and its range of noise levels.

    Attributes:
        mode: Rule by which the two masks are combined.
        strength: Interpolation weight in [0, 1] from the predicted mask (0) to the combined one (1).
        start: Noise level at which steering begins; 1 is pure noise.
        stop: Noise level at which steering ends.
    """

    mode: SteeringMode = SteeringMode.REPLACE
    strength: float = 1.0
    start: float = 1.0
    stop: float = 0.0


class Surroundings(Enum):
    """Form in which the network gets what is kept around a generated region."""

    AUTO = "auto"
    CLEAN = "clean"
    BLENDED = "blended"


@dataclass(frozen=True)
class PassSettings:
    """Settings of one pass of the network, stored in a conditioning.

    They are hashable and comparable, so that ComfyUI can batch passes with equal settings.

    Attributes:
        speeches: What each audio track says.
        interaction: Directions that update their target.
        late_null: Directions of the null passes after the share without interaction; None for this pass's own.
        skip_layer: Layer left out; None for none.
        steering: How face masks of the conditioning are used.
        surroundings: How the network gets what is kept around a generated region.
    """

    speeches: tuple[Speech, ...] = (Speech(),)
    interaction: Interaction = Interaction.BOTH
    late_null: Interaction | None = None
    skip_layer: int | None = None
    steering: Steering = Steering()
    surroundings: Surroundings = Surroundings.AUTO

    @property
    def has_speech(self) -> bool:
        """True if there is a transcript."""
        return any(speech.text is not None for speech in self.speeches)

    def as_null(self, interaction: Interaction, skip_layer: int | None) -> "PassSettings":
        """The null pass that belongs to this one."""
        silent = tuple(replace(speech, text=None, as_written=None) for speech in self.speeches)
        return replace(self, speeches=silent, interaction=interaction, skip_layer=skip_layer)


def pass_settings_of(conditioning: dict) -> PassSettings:
    """Pass settings in a conditioning's dictionary; the defaults if no node of the pack wrote any."""
    return conditioning.get(KEY) or PassSettings()


def has_speech(conditioning: list) -> bool:
    """Return True if any entry of a CONDITIONING has a transcript."""
    return any(pass_settings_of(options).has_speech for _, options in conditioning)


def set_values(conditioning: list, values: dict) -> list:
    """Copy of a CONDITIONING with ``values`` in every entry."""
    return [[features, {**options, **values}] for features, options in conditioning]


def set_pass(conditioning: list, **changes: Any) -> list:
    """Copy of a CONDITIONING with some pass settings of every entry changed."""
    return [
        [features, {**options, KEY: replace(pass_settings_of(options), **changes)}]
        for features, options in conditioning
    ]


def set_speech(conditioning: list, **changes: Any) -> list:
    """Copy of a CONDITIONING with some fields of every speech changed."""
    return _map_speeches(conditioning, lambda speech: replace(speech, **changes))


def with_original_transcripts(conditioning: list) -> list:
    """Copy of a CONDITIONING with its transcripts as the user wrote them, without preparation."""
    return _map_speeches(
        conditioning, lambda speech: speech if speech.as_written is None else replace(speech, text=speech.as_written)
    )


def _map_speeches(conditioning: list, change: Callable[[Speech], Speech]) -> list:
    changed = []
    for entry in conditioning:
        changed += set_pass([entry], speeches=tuple(map(change, pass_settings_of(entry[1]).speeches)))
    return changed
