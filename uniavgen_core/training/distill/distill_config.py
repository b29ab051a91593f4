"""Settings of a distillation, and its stage with defaults for the released size.

Sources: multistep consistency models (Heek et al., arXiv:2403.06807) and phased consistency (Wang et al.,
arXiv:2405.18407) for trajectories; DMD2 (Yin et al., arXiv:2405.14867) for distributions. What neither has, two
modalities with noise levels and weights of their own, is this project's.
"""

import json
from dataclasses import dataclass, field, replace
from enum import Enum

from torch import Tensor

from ...config import GuidanceConfig
from ...diffusion.guidance import GuidancePlan
from ...diffusion.schedule import release_sigmas, simple_sigmas
from ..lora import ADAPTER, LoraPlan
from ..paper_stages import TASKS, AdamConfig, Stage

CRITIC = "critic"
FEW_STEPS_KEY = "uniavgen_few_steps"
"""Entry of a student's metadata: method, passes, noise levels and sampler."""
TEACHER_STEPS = 50
"""Steps of the teacher's runs; guidance is modality-aware for a share of these."""
SCORE_LEVELS = 1000
"""Noise levels at which distributions are compared."""


class Method(Enum):
    """Form of distillation."""

    CONSISTENCY = "consistency"
    """The student's velocity leads straight to where the teacher's flow leaves a segment; sampled by Euler's method."""
    DISTRIBUTION = "distribution"
    """The student's samples are as likely as the teacher's, by a critic of its own; sampled with new noise."""


@dataclass(frozen=True)
class ModalityConfig:
    """Noise levels and weight of one modality.

    Attributes:
        shift: Shift of the uniform distribution of its noise levels: larger for more noise.
        weight: Weight of its loss.

    Raises:
        ValueError: If ``shift`` is not positive, or ``weight`` is negative.
    """

    shift: float = 5.0
    weight: float = 1.0

    def __post_init__(self) -> None:
        if self.shift <= 0:
            raise ValueError(f"shift is {self.shift}; it must be positive.")
        if self.weight < 0:
            raise ValueError(f"weight is {self.weight}; it must not be negative.")


@dataclass(frozen=True)
class DistillConfig:
    """A distillation.

    Attributes:
        method: Its form.
        passes: Passes of the network in which the student samples.
        shift: Shift of the student's noise levels; 5 is that of the teacher's runs.
        guidance: Guidance of the teacher, which the student learns to do without.
        teacher_steps: Of consistency: steps of the teacher from noise to data, a multiple of ``passes``.
        critic_steps: Of distribution matching: steps of the critic before each step of the student.
        video: Noise levels and weight of the video.
        audio: Noise levels and weight of the audio.

    Raises:
        ValueError: If a number is out of its range.
    """

    method: Method = Method.CONSISTENCY
    passes: int = 4
    shift: float = 5.0
    guidance: GuidanceConfig = field(default_factory=GuidanceConfig)
    teacher_steps: int = 48
    critic_steps: int = 5
    video: ModalityConfig = field(default_factory=ModalityConfig)
    audio: ModalityConfig = field(default_factory=ModalityConfig)

    def __post_init__(self) -> None:
        if self.passes < 1 or self.critic_steps < 1:
            raise ValueError(f"passes is {self.passes} and critic_steps {self.critic_steps}; both are at least 1.")
        if self.shift <= 0:
            raise ValueError(f"shift is {self.shift}; it must be positive.")
        if self.teacher_steps < self.passes or self.teacher_steps % self.passes:
            raise ValueError(f"teacher_steps is {self.teacher_steps}; it must be a multiple of passes, {self.passes}.")

    @property
    def sigmas(self) -> Tensor:
        """Noise levels of the student's runs, (passes + 1,), falling from 1 to 0."""
        return simple_sigmas(self.passes, self.shift)

    @property
    def levels(self) -> Tensor:
        """Noise levels at which the student is compared with the teacher, falling from 1 to 0."""
        consistent = self.method is Method.CONSISTENCY
        return simple_sigmas(self.teacher_steps if consistent else SCORE_LEVELS, self.shift)

    @property
    def guidance_plan(self) -> GuidancePlan:
        """Null passes of the teacher, as in its own runs."""
        return GuidancePlan.of(self.guidance, release_sigmas(TEACHER_STEPS))

    @property
    def adapters(self) -> tuple[str, ...]:
        """Sets of adapters that are trained: the student's, and those of the critic where there is one."""
        return (ADAPTER,) if self.method is Method.CONSISTENCY else (ADAPTER, CRITIC)

    @property
    def sampler(self) -> str:
        """ComfyUI's name of the student's sampler."""
        return "euler" if self.method is Method.CONSISTENCY else "lcm"

    @property
    def metadata(self) -> dict[str, str]:
        """Entry of the metadata of the student's file."""
        values = {"method": self.method.value, "passes": self.passes, "sampler": self.sampler, "shift": self.shift}
        return {FEW_STEPS_KEY: json.dumps({**values, "sigmas": [round(x, 6) for x in self.sigmas.tolist()]})}

    @property
    def passes_without_gradient(self) -> float:
        """Mean number of the network's passes in a step besides the one that is trained."""
        teacher = 2 if self.guidance_plan.guides else 1
        if self.method is Method.CONSISTENCY:
            return teacher + 1
        earlier, cycle = (self.passes - 1) / 2, self.critic_steps + 1
        return earlier + (self.critic_steps + teacher + 1) / cycle


STUDENT_PLAN = LoraPlan(interactions=True, rank=64, alpha=64.0)
"""Adapters of both branches and the interactions. Rank 64 is that of the few-step LoRAs published for Wan."""
DISTILL = Stage(
    3,
    replace(TASKS.tasks, interaction_off=0.0),
    adam=AdamConfig(rate=5e-5, betas=(0.9, 0.999), decay=0.0),
    steps=6000,
    warmup=100,
    average=0.99,
)
"""The five tasks in the paper's ratio; interactions are never off, because the student has no null pass."""
