"""Guidance learned in training, so that sampling needs no null pass.

The network is taught the velocity of the data, led away from its own null pass:
``velocity + (1 - 1 / scale) * (cond - null)``, with both predictions its own and without gradients. Where it predicts
that, ``cond`` is what guidance of that scale makes of the velocity: ``null + scale * (velocity - null)``.
Source: model guidance (arXiv:2502.12154); one null pass for two modalities as in ``diffusion.guidance``.
Dimension key: B batch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..config import GuidanceConfig
from ..diffusion.guidance import GuidancePlan, NullPass
from ..diffusion.sampler import Latents
from ..diffusion.schedule import release_sigmas
from ..model.joint import Conditions
from .batch_part import Objective, Part
from .distill.clip_flow import ClipFlow
from .distill.distill_config import TEACHER_STEPS
from .flow_matching import Batch, flow_matching_losses, with_noise
from .null_pass import draw_with_textless, null_conditions
from .task_sampling import Sampled, TaskBatches, TaskSample, TaskSampler, TrainingClips, named_losses, task_objective


@dataclass(frozen=True)
class GuidedBatch(Batch):
    """A training batch and its null pass.

    Attributes:
        null: Conditions of the null pass at the batch's noise levels; None for no guidance.
    """

    null: Conditions | None = None


class GuidedBatches(TaskBatches[Sampled]):
    """Batches whose clips all have texts and one null pass, or none has texts and nothing guides."""

    def __init__(
        self, source: TrainingClips[Sampled], sampler: TaskSampler[Sampled], plan: GuidancePlan, seed: int
    ) -> None:
        super().__init__(source, sampler, seed)
        self.plan = plan

    def __getitem__(self, part: Part) -> GuidedBatch:
        """Make the batch of one part of a step, whose parts all have the same task and null pass."""
        shared = part.shared(self.seed)
        sample = self.sampler.sample_task(shared, part.progress)
        has_texts = shared.random() >= sample.text_dropout
        null_pass = self.plan.null_pass(self.sampler.sigmas.draw(shared))
        own = part.thinned(sample.batch_divisor).own(self.seed)
        sample, null = replace(sample, text_dropout=float(not has_texts)), None
        if has_texts:
            clips, textless = draw_with_textless(self.source, sample, shared, own)
            null = null_conditions(clips.conditions, textless, null_pass, self.plan)
        else:
            clips = self.source.draw_clips(sample, shared, own)
        batch = with_noise(clips, self._sigmas(null_pass, own), own)
        return GuidedBatch(
            clips, batch.sigma, batch.video_noise, batch.audio_noise, sample.task.name, sample.learned, null
        )

    def _sigmas(self, null_pass: NullPass, own: Sequence[np.random.Generator]) -> Tensor:
        """Noise levels of the sampler that have a null pass, (B,)."""
        return torch.tensor([self._sigma(null_pass, random) for random in own], dtype=torch.float32)

    def _sigma(self, null_pass: NullPass, random: np.random.Generator) -> float:
        while True:
            sigma = self.sampler.sigmas.draw(random)
            if self.plan.null_pass(sigma) is null_pass:
                return sigma


@dataclass(frozen=True)
class GuidedLosses:
    """Losses of a stage that learns guidance, by the names of ``TaskLosses``.

    Attributes:
        sampler: Weights of the parts of the loss.
        config: Scales.
    """

    sampler: TaskSampler[TaskSample]
    config: GuidanceConfig

    def __call__(self, model: Any, batch: GuidedBatch, progress: float) -> Mapping[str, Tensor]:
        """Compute the losses of one batch."""

        def lead(noisy: Latents, cond: Latents) -> Latents:
            with torch.no_grad():
                null = ClipFlow(model, batch.clips).velocity(noisy, batch.sigma, batch.null)
            scales = (self.config.video_scale, self.config.audio_scale)
            return tuple((1 - 1 / scale) * (x.detach() - y) for scale, x, y in zip(scales, cond, null, strict=True))

        weights = self.sampler.loss_weights(progress)
        return named_losses(flow_matching_losses(model, batch, weights, lead=lead if batch.null else None), batch)


def stage_objective(
    source: TrainingClips[Sampled], sampler: TaskSampler[Sampled], seed: int, guidance: GuidanceConfig | None = None
) -> Objective:
    """Objective of a stage on clips of a source, with guidance to learn or None."""
    if guidance is None:
        return task_objective(source, sampler, seed)
    plan = GuidancePlan.of(guidance, release_sigmas(TEACHER_STEPS))
    return Objective(GuidedBatches(source, sampler, plan, seed), GuidedLosses(sampler, guidance))
