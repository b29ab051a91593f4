"""The three stages of the paper as data: what is published, and a choice with its reason for what is not.

Source: UniAVGen (arXiv:2511.03334), section 3.5 and supplement; its inference release for what each task keeps.
"""

from dataclasses import dataclass, field, replace

from ..tasks import PAPER_TASKS
from .data.example_draws import SourceConfig
from .task_sampling import ShiftedUniform, TaskConfig


@dataclass(frozen=True)
class AdamConfig:
    """AdamW. Published: the learning rates, ``betas`` and ``epsilon``.

    Attributes:
        rate: Peak learning rate.
        betas: Decay rates.
        epsilon: Added to the denominator.
        decay: Weight decay. Not public; 0.01 is Wan's and AdamW's own default.
    """

    rate: float = 5e-6
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    decay: float = 0.01


@dataclass(frozen=True)
class Stage:
    """One stage of training. Published: what trains, on what, ``batch``, ``steps`` and the optimizer's numbers.

    Attributes:
        number: Its place in the paper.
        tasks: Tasks, noise levels and losses of the steps. Not public in there: noise levels uniform, pushed to noise
            by the sampler's shift where pictures are learned, so that they are learned as often as they are met;
            interactions off in 10 % of joint samples, half of them with null texts, for the null pass of guidance.
        source: Choices made for each clip. Not public: speech text dropped in 20 %, captions in 10 %, because
            guidance needs the null texts; a kept prefix of 1 to 16 latents with the sound to match, give or take a
            tenth of a second, because users cut anywhere; reference voices of 1.5 to 3 s.
        adam: The optimizer.
        audio_alone: Whether the audio branch trains alone, and all else is frozen.
        batch: Examples in a step.
        steps: Length.
        warmup: Steps over which the rate rises. Not public; a thousand, so that AdamW's second moments have settled.
        fall: Power by which the rate falls to zero. Not public; 0 holds it, as fixed published rates suggest.
        average: Decay of averaged weights; None for none. Not public; in the first stage, whose long run from random
            weights at a fixed rate would otherwise end wherever its last steps lead.
        clip: Largest norm of the gradient. Not public; 1 is the custom of the field.
    """

    number: int
    tasks: TaskConfig
    source: SourceConfig = field(default_factory=SourceConfig)
    adam: AdamConfig = field(default_factory=AdamConfig)
    audio_alone: bool = False
    batch: int = 32
    steps: int = 30_000
    warmup: int = 1000
    fall: float = 0.0
    average: float | None = None
    clip: float = 1.0


SPEECH = Stage(
    1,
    TaskConfig(sigmas=ShiftedUniform(1.0), interaction_off=0.0, audio_alone=True),
    adam=AdamConfig(rate=2e-5),
    audio_alone=True,
    batch=256,
    steps=160_000,
    average=0.9999,
)
"""The audio branch alone, on English speech. Both branches' noise levels are uniform; sound alone needs no shift."""
JOINT = Stage(2, TaskConfig(sigmas=ShiftedUniform(5.0), mask_weight=0.1, mask_weight_end=0.0))
"""Both branches, on clips of people; the face masks' loss weighs 0.1 at the start and nothing at the end."""
TASKS = Stage(
    3,
    replace(TaskConfig(sigmas=ShiftedUniform(5.0)), **{task.name: float(task.share) for task in PAPER_TASKS}),
    steps=10_000,
)
"""The five tasks, 4:1:1:2:2, on the same clips; the face masks have faded out."""
STAGES: dict[str, Stage] = {"speech": SPEECH, "joint": JOINT, "tasks": TASKS}
