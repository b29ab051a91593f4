"""Trajectory distillation: from any noise level, one step to where the teacher's guided flow leaves the segment.

The student's noise levels divide the flow into segments. Its velocity at a level is taught to be the mean velocity of
the teacher's flow from there to the end of the segment: the teacher's own for its next small step, and for the rest the
student's from there on. Euler's method over the segments then follows the teacher's flow exactly.
Sources: multistep consistency models (arXiv:2403.06807), phased consistency models (arXiv:2405.18407). The target is
the student itself without gradient, not an average of it, which would bias it (arXiv:2310.14189, section 3.2).
Dimension key: B batch.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ...diffusion.flow import velocity_to_denoised
from ...diffusion.sampler import Latents
from ..active_adapter import without_gradient
from ..lora import ADAPTER
from .clip_flow import ClipFlow
from .distill_batches import DistillBatch
from .distill_config import DistillConfig
from .distill_losses import DistillLosses

Velocity = Callable[[Latents, Tensor], Latents]
"""Noisy latents and their noise levels, (B,), to velocities."""


class Segment(NamedTuple):
    """Noise levels of one small step of the teacher, and of the end of the student's segment around it, all (B,)."""

    sigma: Tensor
    after: Tensor
    end: Tensor

    @classmethod
    def of(cls, config: DistillConfig, level: Tensor) -> "Segment":
        """The step from each of some levels, (B,), to the next."""
        levels, stride = config.levels.to(level.device), config.teacher_steps // config.passes
        return cls(levels[level], levels[level + 1], levels[(level // stride + 1) * stride])


def consistency_target(
    teacher: Velocity, student: Velocity, noisy: Latents, segment: Segment, spread: Callable[[Tensor], Latents]
) -> Latents:
    """Mean velocity from noisy latents to the end of their segment.

    Args:
        teacher: Velocities of the flow to follow.
        student: Mean velocities from later levels to the end.
        noisy: Latents at ``segment.sigma``.
        segment: Noise levels.
        spread: One number for each clip, (B,), to shapes that spread over the latents.

    Returns:
        Velocities, shapes of ``noisy``.
    """
    first = teacher(noisy, segment.sigma)
    step = spread(segment.sigma - segment.after)
    rest = student(tuple(map(velocity_to_denoised, noisy, first, step)), segment.after)
    shares = spread((segment.sigma - segment.after) / (segment.sigma - segment.end))
    return tuple(map(torch.lerp, rest, first, shares))


class ConsistencyLosses(DistillLosses):
    """Losses of trajectory distillation."""

    def compared(self, flow: ClipFlow, batch: DistillBatch) -> tuple[Latents, Latents]:
        """Velocities of the student, and mean velocities to the end of each segment."""
        segment = Segment.of(self.config, batch.level)
        noisy = flow.noisy(flow.clean, batch.noise(0), segment.sigma)
        student = without_gradient(flow.model, ADAPTER, flow.velocity)
        target = consistency_target(self.teacher(flow, batch), student, noisy, segment, flow.per_clip)
        return flow.velocity(noisy, segment.sigma), target
