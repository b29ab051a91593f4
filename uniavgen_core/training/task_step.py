"""One training step of the five tasks and of pictures with two faces."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from ..model.joint import JointModel
from .material import Material
from .step import LossWeights, example_losses
from .tasks import TaskConfig, TaskKind, draw_ask


class TaskStep:
    """Losses of the last stage; called by the loop with (step, progress)."""

    def __init__(self, model: JointModel, material: Material, config: TaskConfig, seed: int, rank: int = 0) -> None:
        self.model = model
        self.material = material
        self.config = config
        self.seed = seed
        self.rank = rank

    def __call__(self, step: int, progress: float) -> Mapping[str, Tensor]:
        """Compute the losses of one step: the task comes from (seed, step), the rest from (seed, step, rank).

        Besides the sum, the losses are named after the task, so that the log tells them apart.
        """
        config = self.config
        ask = draw_ask(config, np.random.default_rng([self.seed, step]))
        random = np.random.default_rng([self.seed, step, 1 + self.rank])
        generator = torch.Generator().manual_seed(int(random.integers(2**62)))
        count = config.pair_batch if ask.kind is TaskKind.PAIR else config.batch
        example = self.material.example(ask, count, random)
        sigma = config.sigmas.sample(count, generator)
        weights = LossWeights(
            config.face_weight, 0.0 if ask.blind else config.mask_weight * (1 - progress), config.mouth_weight
        )
        with torch.autocast("cpu", torch.bfloat16, enabled=config.bfloat16):
            losses = example_losses(self.model, example, sigma, weights, generator)
        named = {f"{name}_{ask.kind.value}": losses[name] for name in ("video", "audio") if losses[name] > 0}
        return {"loss": losses["loss"], "mask": losses["mask"], **named}
