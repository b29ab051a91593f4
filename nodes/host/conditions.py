"""What the pack's nodes write into a conditioning, and what the model reads from it."""

from dataclasses import dataclass, replace

from ...uniavgen_core.config import Interaction
from ...uniavgen_core.text.tokenize import NULL_SPEECH

KEY = "uniavgen"
REFERENCE_IMAGE_KEY = "uniavgen_reference_image"


@dataclass(frozen=True)
class Pass:
    """One pass of the network, as it rides in a conditioning. Hashable and comparable, so that ComfyUI can batch by it.

    Attributes:
        speech_ids: Characters of the transcript, -1 for filler.
        null_speech_ids: What a null pass hears instead.
        interaction: Directions that update their target.
        skipped_layer: Layer left out; None for none.
    """

    speech_ids: tuple[int, ...] = NULL_SPEECH
    null_speech_ids: tuple[int, ...] = NULL_SPEECH
    interaction: Interaction = Interaction.BOTH
    skipped_layer: int | None = None

    @property
    def has_speech(self) -> bool:
        """Whether a transcript was given."""
        return self.speech_ids != self.null_speech_ids

    def as_null(self, interaction: Interaction, skipped_layer: int | None) -> "Pass":
        """The null pass that belongs to this one."""
        return replace(self, speech_ids=self.null_speech_ids, interaction=interaction, skipped_layer=skipped_layer)


def pass_of(conditioning: dict) -> Pass:
    """The pass a conditioning's dictionary asks for; the default where no node of the pack wrote one."""
    return conditioning.get(KEY) or Pass()


def set_values(conditioning: list, values: dict) -> list:
    """Copy of a CONDITIONING with ``values`` in every entry."""
    return [[features, {**options, **values}] for features, options in conditioning]
