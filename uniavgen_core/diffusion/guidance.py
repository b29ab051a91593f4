"""Modality-aware classifier-free guidance: one null pass serves picture and sound, each with its own scale.

Early steps compare with a null pass whose branches do not hear each other, so that guidance strengthens the
interaction; later steps compare with a null pass without texts (the release) or are not guided (the paper).
Source: UniAVGen (arXiv:2511.03334), section 3.4.
"""

from dataclasses import dataclass
from enum import Enum

from torch import Tensor

from ..config import GuidanceConfig


class NullPass(Enum):
    """What the null pass of a step leaves out."""

    WITHOUT_INTERACTION = "without interaction and texts"
    WITHOUT_TEXT = "without texts"
    NONE = "no null pass: the step is not guided"


def guide(cond: Tensor, null: Tensor, scale: Tensor | float) -> Tensor:
    """Lead a prediction away from the null pass: ``null + scale * (cond - null)``.

    Args:
        cond: Prediction with conditions, (B, ...).
        null: Prediction of the null pass, same shape.
        scale: Guidance scale, broadcastable; 1 gives ``cond``.

    Returns:
        Guided prediction, same shape.

    Source: classifier-free guidance (arXiv:2207.12598).
    """
    return null + scale * (cond - null)


@dataclass(frozen=True)
class GuidancePlan:
    """Which null pass each step of one run uses.

    Attributes:
        config: Scales and switches.
        steps: Steps of the run.
    """

    config: GuidanceConfig
    steps: int

    def null_pass(self, step: int) -> NullPass:
        """Null pass of step ``step``, counted from 0."""
        if self.config.video_scale == self.config.audio_scale == 1:
            return NullPass.NONE
        if step < self.config.steps_without_interaction(self.steps):
            return NullPass.WITHOUT_INTERACTION
        return NullPass.WITHOUT_TEXT if self.config.text_guidance_after else NullPass.NONE
