"""One training step of the five tasks and of pictures with two faces."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from torch import Tensor

from ..model.joint import JointModel
from .batch_part import Part
from .sigmas import sample_sigmas
from .step import Example, LossWeights, device_of, example_losses, on_device
from .task_sampling import Ask, TaskConfig, TaskKind, draw_ask


class Source(Protocol):
    """Where training examples come from: toons in memory, or encoded clips."""

    def example(self, ask: Ask, shared: np.random.Generator, own: Sequence[np.random.Generator]) -> Example:
        """Draw one example of what is asked for each generator in ``own``."""


class TaskStep:
    """Losses of a stage: what each step asks for, drawn from a source."""

    def __init__(self, source: Source, config: TaskConfig, seed: int) -> None:
        self.source = source
        self.config = config
        self.seed = seed

    def __call__(self, model: JointModel, part: Part, progress: float) -> Mapping[str, Tensor]:
        """Compute the losses of one part of a step, whose parts all have the same task.

        Besides the sum, the losses are named after the task, so that the log tells them apart.
        """
        config, device = self.config, device_of(model)
        shared = part.shared(self.seed)
        ask = draw_ask(config, shared)
        if ask.kind is TaskKind.PAIR:
            part = part.thinned(config.pair_factor)
        own = part.own(self.seed)
        example = on_device(self.source.example(ask, shared, own), device)
        sigma = sample_sigmas(config.sigmas, own).to(device)
        mask_weight = 0.0 if ask.blind else config.mask_weight_at(progress)
        weights = LossWeights(config.face_weight, mask_weight, config.mouth_weight, config.video_weight)
        losses = example_losses(model, example, sigma, weights, own)
        named = {f"{name}_{ask.kind.value}": losses[name] for name in self._learned(ask)}
        return {"loss": losses["loss"], "mask": losses["mask"], **named}

    def _learned(self, ask: Ask) -> list[str]:
        """Modalities of which something is noisy."""
        video = not ask.blind and ask.kind is not TaskKind.DUBBING
        return ["video"] * video + ["audio"] * (not ask.audio_kept or self.config.lead > 0)
