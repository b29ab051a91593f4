"""The task and the noise levels of every training step, and batches of it.

Source: UniAVGen (arXiv:2511.03334), third stage of training, and its release for what each task keeps. Noise levels:
logit-normal times (Esser et al., arXiv:2403.03206), and the shift of a schedule with which Wan samples; the defaults
lean to high noise, where the words of a sentence and the movement of a mouth are decided.
Dimension key: B batch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..config import Interaction
from ..tasks import JOINT, PAPER_TASKS, Keep, Task
from .batch_part import Objective, Part
from .flow_matching import Batch, CleanClips, LossWeights, flow_matching_losses, with_noise


class Sigmas(Protocol):
    """A distribution of noise levels."""

    def draw(self, random: np.random.Generator) -> float:
        """Draw one noise level in (0, 1)."""
        ...


def sample_sigmas(sigmas: Sigmas, own: Sequence[np.random.Generator]) -> Tensor:
    """One noise level for each example, (B,)."""
    return torch.tensor([sigmas.draw(random) for random in own], dtype=torch.float32)


@dataclass(frozen=True)
class LogitNormal:
    """Noise levels whose logit is normal: ``sigma = sigmoid(N(mean, std))``.

    Attributes:
        mean: Mean of the logit; above 0 leans to noise.
        std: Standard deviation of the logit, positive.

    Raises:
        ValueError: If ``std`` is not positive.
    """

    mean: float = 1.0
    std: float = 1.2

    def __post_init__(self) -> None:
        if self.std <= 0:
            raise ValueError(f"std is {self.std}; it must be positive.")

    def draw(self, random: np.random.Generator) -> float:
        """Draw one noise level in (0, 1)."""
        return float(1 / (1 + np.exp(-(self.mean + self.std * random.standard_normal()))))


@dataclass(frozen=True)
class ShiftedUniform:
    """Noise levels uniform in (0, 1), pushed to noise as a sampler's schedule is: ``shift u / (1 + (shift - 1) u)``.

    Attributes:
        shift: 1 for none; 5 is the sampler's, so that levels are learned as often as they are met.

    Raises:
        ValueError: If ``shift`` is not positive.
    """

    shift: float = 1.0

    def __post_init__(self) -> None:
        if self.shift <= 0:
            raise ValueError(f"shift is {self.shift}; it must be positive.")

    def draw(self, random: np.random.Generator) -> float:
        """Draw one noise level in (0, 1)."""
        uniform = 1 - random.random()  # 0 excluded: a clean example has nothing to learn from.
        return float(self.shift * uniform / (1 + (self.shift - 1) * uniform))


@dataclass(frozen=True)
class TaskSample:
    """The task drawn for one training step; all examples of the step share it.

    Attributes:
        task: The task.
        interaction: Directions that run; off now and then, for the null pass of guidance.
        text_dropout: Share of clips without texts.
        has_voice: Whether reference voices are given.
        voice_length: Index of their length.
        audio_alone: Whether the audio branch is trained alone, beside a blank picture.
        batch_divisor: How many times fewer clips the step has, for clips that are that much larger.
    """

    task: Task
    interaction: Interaction
    text_dropout: float = 0.0
    has_voice: bool = False
    voice_length: int = 0
    audio_alone: bool = False
    batch_divisor: int = 1

    @property
    def learned(self) -> tuple[str, ...]:
        """Modalities of which something is generated."""
        video = not self.audio_alone and self.task.video is not Keep.ALL
        return ("video",) * video + ("audio",) * (self.task.audio is not Keep.ALL)


Sampled = TypeVar("Sampled", bound=TaskSample)
Drawn = TypeVar("Drawn", bound=TaskSample, covariant=True)
Wanted = TypeVar("Wanted", bound=TaskSample, contravariant=True)


class TaskSampler(Protocol[Drawn]):
    """The tasks of a stage, their shares, and its losses."""

    @property
    def sigmas(self) -> Sigmas:
        """Distribution of noise levels."""
        ...

    def sample_task(self, random: np.random.Generator, progress: float) -> Drawn:
        """Draw the task of one step at some progress in [0, 1)."""
        ...

    def loss_weights(self, progress: float) -> LossWeights:
        """Weights of the loss at some progress in [0, 1)."""
        ...


class TrainingClips(Protocol[Wanted]):
    """Clean clips by task, from memory or from disk."""

    def draw_clips(self, sample: Wanted, shared: np.random.Generator, own: Sequence[np.random.Generator]) -> CleanClips:
        """Draw one clip of a task for each generator in ``own``; ``shared`` is the same for all parts of a step."""
        ...


@dataclass(frozen=True)
class TaskConfig:
    """Tasks, noise levels and losses of a stage of the paper. Shares are relative to one another.

    Attributes:
        sigmas: Noise levels, the same for both modalities.
        joint: Share of joint generation.
        reference_voice: Share of joint generation with a reference voice.
        continuation: Share of continuation.
        dubbing: Share of dubbing.
        audio_driven: Share of audio-driven video.
        interaction_off: Share of joint generation that runs without interaction, for the null pass of guidance.
        null_with_off: Share of clips without texts in those.
        voice_lengths: Share of each length of reference voices.
        audio_alone: Whether all steps train the audio branch alone.
        mask_weight: Weight of the face-mask loss at the start.
        mask_weight_end: Weight of the face-mask loss at the end; it changes linearly between the two.
    """

    sigmas: Sigmas = field(default_factory=ShiftedUniform)
    joint: float = 1.0
    reference_voice: float = 0.0
    continuation: float = 0.0
    dubbing: float = 0.0
    audio_driven: float = 0.0
    interaction_off: float = 0.1
    null_with_off: float = 0.5
    voice_lengths: tuple[float, ...] = (1 / 3, 1 / 3, 1 / 3)
    audio_alone: bool = False
    mask_weight: float = 0.0
    mask_weight_end: float = 0.0

    def sample_task(self, random: np.random.Generator, progress: float = 0.0) -> TaskSample:
        """Draw the task of one step by its share; always takes the same number of draws."""
        del progress
        task = draw_task(PAPER_TASKS, [getattr(self, task.name) for task in PAPER_TASKS], random)
        point = random.random()
        length = int(random.choice(len(self.voice_lengths), p=self.voice_lengths))
        off = task is JOINT and point < self.interaction_off
        return TaskSample(
            task,
            Interaction.OFF if off else task.interaction,
            self.null_with_off if off else 0.0,
            task.reference_voice,
            length,
            self.audio_alone,
        )

    def loss_weights(self, progress: float) -> LossWeights:
        """Weights of the loss at some progress in [0, 1)."""
        return LossWeights(mask=self.mask_weight + (self.mask_weight_end - self.mask_weight) * progress)


def draw_task(tasks: Sequence[Task], shares: Sequence[float], random: np.random.Generator) -> Task:
    """Draw one of some tasks by its share; takes one draw."""
    chances = np.array(shares)
    return tasks[random.choice(len(tasks), p=chances / chances.sum())]


class TaskBatches(Dataset[Batch], Generic[Sampled]):
    """Batches by ``Part``: clips drawn for the task of the step, and their noise; see ``Part`` for the randomness."""

    def __init__(self, source: TrainingClips[Sampled], sampler: TaskSampler[Sampled], seed: int) -> None:
        self.source = source
        self.sampler = sampler
        self.seed = seed

    def __getitem__(self, part: Part) -> Batch:
        """Make the batch of one part of a step, whose parts all have the same task."""
        shared = part.shared(self.seed)
        sample = self.sampler.sample_task(shared, part.progress)
        own = part.thinned(sample.batch_divisor).own(self.seed)
        clips = self.source.draw_clips(sample, shared, own)
        batch = with_noise(clips, sample_sigmas(self.sampler.sigmas, own), own)
        return replace(batch, task=sample.task.name, learned=sample.learned)


@dataclass(frozen=True)
class TaskLosses:
    """Losses of a stage, named after the task of the step besides their sum, so that the log tells them apart."""

    sampler: TaskSampler[TaskSample]

    def __call__(self, model: Any, batch: Batch, progress: float) -> Mapping[str, Tensor]:
        """Compute the losses of one batch."""
        return named_losses(flow_matching_losses(model, batch, self.sampler.loss_weights(progress)), batch)


def named_losses(losses: Mapping[str, Tensor], batch: Batch) -> dict[str, Tensor]:
    """The sum of losses, and those of what is learned, named after the task of their batch."""
    named = {f"{name}_{batch.task}": losses[name] for name in batch.learned}
    mask = {"mask": losses["mask"]} if batch.clips.has_picture else {}
    return {"loss": losses["loss"], **mask, **named}


def task_objective(source: TrainingClips[Sampled], sampler: TaskSampler[Sampled], seed: int) -> Objective:
    """Objective of a stage: the losses of its tasks on clips of a source."""
    return Objective(TaskBatches(source, sampler, seed), TaskLosses(sampler))
