"""Batches of a distillation: clips, the teacher's null pass, noise levels of two modalities, and noise.

The network was trained with video and audio at one noise level, so both are always asked about at the same one. It is
drawn from the mixture of the two modalities' distributions, and each modality's loss is weighted by its own share: so
each has, on average, the noise levels of its own.
Dimension key: B batch, K audio tracks per clip, R draws of noise, N noise levels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Generic

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ...diffusion.guidance import NullPass
from ...diffusion.sampler import Latents
from ...diffusion.schedule import shift_sigma
from ...model.joint import Conditions
from ..batch_part import Part
from ..flow_matching import CleanClips, draw_noise, map_tensors
from ..null_pass import draw_with_textless, null_conditions
from ..task_sampling import Sampled, TaskSampler, TrainingClips
from .distill_config import DistillConfig, Method


class Turn(Enum):
    """The adapters that a step trains."""

    STUDENT = "student"
    CRITIC = "critic"


@dataclass(frozen=True)
class DistillBatch:
    """Everything that a step of distillation needs but the network.

    Attributes:
        clips: Clean clips, what is kept of them, and conditions.
        null: Conditions of the teacher's null pass at the levels of this batch; None for no guidance.
        level: Number of the noise level of each clip among the config's ``levels``, (B,).
        video_weight: Weight of each clip's video at that level, (B,).
        audio_weight: Weight of its audio, (B,).
        video_noise: Draws of noise, (R, B, C, T, H, W).
        audio_noise: The same for audio, (R, B * K, S, 80).
        turn: The adapters to train.
        earlier: Passes of the student before the one that is trained; 0 where it starts from data.
        task: Name of the task, for the log.
        learned: Modalities of which something is generated.
    """

    clips: CleanClips
    null: Conditions | None
    level: Tensor
    video_weight: Tensor
    audio_weight: Tensor
    video_noise: Tensor
    audio_noise: Tensor
    turn: Turn
    earlier: int
    task: str
    learned: tuple[str, ...]

    def noise(self, draw: int) -> Latents:
        """One draw of noise for video and audio."""
        return self.video_noise[draw], self.audio_noise[draw]

    def pin_memory(self) -> "DistillBatch":
        """Copy to pinned memory; PyTorch's loader calls this."""
        return map_tensors(self, Tensor.pin_memory)


@dataclass(frozen=True)
class NoiseLevels:
    """Draws of noise levels for two modalities.

    Attributes:
        config: The distillation.
    """

    config: DistillConfig

    @cached_property
    def shares(self) -> np.ndarray:
        """Share of each of the N levels in the distributions of video and of audio, (2, N)."""
        # A shifted uniform distribution has u below shift_sigma(u), and so 1 / shift turns levels back into shares.
        shifts = (self.config.video.shift, self.config.audio.shift)
        below = [shift_sigma(self.config.levels.double(), 1 / shift) for shift in shifts]
        return -np.diff(torch.stack(below).numpy())

    @cached_property
    def null_passes(self) -> list[NullPass]:
        """The teacher's null pass at each level."""
        plan = self.config.guidance_plan
        return [plan.null_pass(sigma) for sigma in self.config.levels[:-1].tolist()]

    def draw(self, shared: np.random.Generator, own: Sequence[np.random.Generator]) -> tuple[Tensor, NullPass]:
        """Draw a level for each example, all with one null pass, so that guidance takes no third pass.

        Args:
            shared: Chooses the null pass, the same for all parts of a step.
            own: One generator for each example.

        Returns:
            Numbers of the levels, (B,), and their null pass.
        """
        mixture = self.shares.mean(0)
        chosen = self.null_passes[shared.choice(len(mixture), p=mixture)]
        alike = mixture * np.array([each is chosen for each in self.null_passes])
        alike /= alike.sum()
        return torch.tensor([random.choice(len(alike), p=alike) for random in own]), chosen

    def weights(self, levels: Tensor) -> tuple[Tensor, Tensor]:
        """Weights of video and audio at some levels, (B,): shares of their own over those that were drawn from."""
        ratio = torch.from_numpy(self.shares / self.shares.mean(0)).float()
        return ratio[0, levels], ratio[1, levels]


class DistillBatches(Dataset[DistillBatch], Generic[Sampled]):
    """Batches by ``Part``; see ``Part`` for the randomness."""

    def __init__(
        self, source: TrainingClips[Sampled], sampler: TaskSampler[Sampled], config: DistillConfig, seed: int
    ) -> None:
        self.source = source
        self.sampler = sampler
        self.config = config
        self.levels = NoiseLevels(config)
        self.seed = seed

    def __getitem__(self, part: Part) -> DistillBatch:
        """Make the batch of one part of a step, whose parts have the same task, turn and number of passes."""
        shared = part.shared(self.seed)
        sample = self.sampler.sample_task(shared, part.progress)
        turn, earlier = self._turn(part), int(shared.integers(self.config.passes))
        own = part.thinned(sample.batch_divisor).own(self.seed)
        level, null_pass = self.levels.draw(shared, own)
        clips, textless = draw_with_textless(self.source, sample, shared, own)
        if self.config.method is Method.CONSISTENCY:
            earlier, draws = 0, 1
        else:
            draws = earlier + 2
        noises = [(draw_noise(clips.video, own), draw_noise(clips.audio, own)) for _ in range(draws)]
        video_noise, audio_noise = (torch.stack(parts) for parts in zip(*noises, strict=True))
        null = null_conditions(clips.conditions, textless, null_pass, self.config.guidance_plan)
        return DistillBatch(
            clips, null, level, *self.levels.weights(level), video_noise, audio_noise,
            turn, earlier, sample.task.name, sample.learned,
        )  # fmt: skip

    def _turn(self, part: Part) -> Turn:
        """The critic is first, and then has several steps for each of the student's."""
        if self.config.method is Method.CONSISTENCY:
            return Turn.STUDENT
        cycle = self.config.critic_steps + 1
        return Turn.STUDENT if part.step % cycle == cycle - 1 else Turn.CRITIC
