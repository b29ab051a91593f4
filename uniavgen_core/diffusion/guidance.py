"""Modality-aware classifier-free guidance: one null pass serves video and audio, each with its own scale.

Early steps compare with a null pass whose branches do not exchange, so that guidance strengthens the interaction; later
steps compare with a null pass without texts (the release) or are not guided (the paper).
Source: UniAVGen (arXiv:2511.03334), section 3.4.
"""

from dataclasses import dataclass
from enum import Enum

from torch import Tensor

from ..config import AfterShare, GuidanceConfig
from .schedule import boundary_sigma


class NullPass(Enum):
    """Conditions that the null pass at a noise level leaves out."""

    WITHOUT_INTERACTION = "without interaction and texts"
    WITHOUT_TEXT = "without texts"
    NONE = "no null pass, because nothing is guided"


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
    """Null pass that guides at each noise level of one run.

    The noise level decides, not a count of calls, so that samplers may call the network any number of times per step.

    Attributes:
        config: Scales and switches.
        boundary: Noise level down to which guidance is modality-aware.
    """

    config: GuidanceConfig
    boundary: float

    @classmethod
    def of(cls, config: GuidanceConfig, sigmas: Tensor) -> "GuidancePlan":
        """Plan of a run over falling noise levels, (N + 1,); the share of the N steps is rounded down."""
        return cls(config, boundary_sigma(sigmas, int(config.modality_aware_share * (len(sigmas) - 1))))

    @property
    def guides(self) -> bool:
        """True if there is a null pass at any noise level."""
        return self.config.video_scale != 1 or self.config.audio_scale != 1

    def null_pass(self, sigma: float) -> NullPass:
        """Null pass at noise level ``sigma``."""
        if not self.guides:
            return NullPass.NONE
        if sigma >= self.boundary:
            return NullPass.WITHOUT_INTERACTION
        return NullPass.WITHOUT_TEXT if self.config.after_share is AfterShare.TEXT_CFG else NullPass.NONE
