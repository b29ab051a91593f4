"""Sampling presets: the release's own settings, and combinations of sampler, schedule and fewer steps.

Source: ``docs/few_steps``: errors of the flow on the bundled model, whose clips leave a sampler little to decide, and
students of few passes.
"""

from dataclasses import dataclass
from enum import Enum

from ..config import GuidanceConfig

NO_GUIDANCE = GuidanceConfig(video_scale=1.0, audio_scale=1.0, skip_layer=None)
"""One pass of the network in each step."""


class Schedule(Enum):
    """Spacing of the noise levels."""

    RELEASE = "release"
    BETA = "beta"
    """Denser at the noisy and at the clean end, where the flow is curved (arXiv:2407.12173)."""
    SIMPLE = "simple"
    """Even from noise to data before the shift, as ComfyUI's scheduler of that name; few-step students have these."""


@dataclass(frozen=True)
class SamplingPreset:
    """One combination of sampler, schedule and steps.

    Attributes:
        steps: Steps, each a call of the guided network.
        sampler: ComfyUI's name of the sampler.
        schedule: Spacing of the noise levels.
        shift: Shift of the noise levels.
        guidance: Modality-aware guidance; None for the user's own.
    """

    steps: int
    sampler: str
    schedule: Schedule
    shift: float = 5.0
    guidance: GuidanceConfig | None = None

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps is {self.steps}; at least one step is needed.")

    @property
    def in_words(self) -> str:
        """Description for the user."""
        words = f"{self.steps} steps, {self.sampler}, {self.schedule.value} noise levels, shift {self.shift:g}"
        if self.guidance is None:
            return words
        if self.guidance == NO_GUIDANCE:
            return f"{words}, no guidance"
        return f"{words}, guidance {self.guidance.video_scale:g} and {self.guidance.audio_scale:g}"


PRESETS = {
    # The settings of the release's own examples.
    "release": SamplingPreset(50, "euler", Schedule.RELEASE, guidance=GuidanceConfig()),
    # Errors of video and audio are 0.014 and 0.011; those of the release's own 50 Euler steps are 0.024 and 0.019.
    "quality": SamplingPreset(30, "ipndm", Schedule.BETA),
    # Slightly better than the release's own 50 steps: 0.020 and 0.016.
    "balanced": SamplingPreset(20, "ipndm", Schedule.BETA),
    # Less than half the error of 12 Euler steps: 0.040 and 0.039 instead of 0.086 and 0.091.
    "fast": SamplingPreset(12, "ipndm", Schedule.BETA),
    # For models that need neither many steps nor guidance: the bundled one, and students by consistency distillation.
    "instant": SamplingPreset(4, "euler", Schedule.SIMPLE, guidance=NO_GUIDANCE),
}

TOON_STEPS, TOON_GUIDANCE = 1, NO_GUIDANCE
TOON = SamplingPreset(TOON_STEPS, "euler", Schedule.RELEASE, guidance=TOON_GUIDANCE)
"""Sampling that suits the bundled model, whose clips follow from their conditions: Euler steps, without guidance."""
