"""Losses of one step of distillation from errors of each clip, weighted by modality and noise level."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from ...diffusion.sampler import Latents
from ...model.joint import JointModel
from ..active_adapter import without_gradient
from ..flow_matching import LossWeights, modality_errors
from ..task_sampling import TaskSample, TaskSampler
from .clip_flow import ClipFlow
from .distill_batches import DistillBatch
from .distill_config import DistillConfig


@dataclass(frozen=True)
class DistillLosses(ABC):
    """Losses of one method.

    Attributes:
        sampler: Weights of faces and mouths.
        config: The distillation.
    """

    sampler: TaskSampler[TaskSample]
    config: DistillConfig

    def __call__(self, model: JointModel, batch: DistillBatch, progress: float) -> Mapping[str, Tensor]:
        """Compute the losses of one batch, by the names of ``step_losses``."""
        predicted, wanted = self.compared(ClipFlow(model, batch.clips), batch)
        return step_losses(predicted, wanted, batch, self.sampler.loss_weights(progress), self.config)

    @abstractmethod
    def compared(self, flow: ClipFlow, batch: DistillBatch) -> tuple[Latents, Latents]:
        """Video and audio, (B, C, T, H, W) and (B * K, S, 80), as the network has them and as they should be."""

    def teacher(self, flow: ClipFlow, batch: DistillBatch) -> Callable[[Latents, Tensor], Latents]:
        """Guided velocities of the weights without adapters, from noisy latents and their levels, (B,)."""
        guided = partial(flow.guided_velocity, null=batch.null, plan=self.config.guidance_plan)
        return without_gradient(flow.model, None, guided)


def step_losses(
    predicted: Latents, wanted: Latents, batch: DistillBatch, weights: LossWeights, config: DistillConfig
) -> dict[str, Tensor]:
    """Losses of what is generated.

    Args:
        predicted: Video and audio as the network has them.
        wanted: The same as they should be.
        batch: The batch, with weights of its noise levels.
        weights: Weights of faces and mouths, and of the video.
        config: Weights of the modalities.

    Returns:
        ``loss``, and by turn, modality and task those of what is learned.
    """
    video, audio = modality_errors(predicted, wanted, batch.clips, weights)
    tracks = len(audio) // len(video)
    means = {
        "video": (video * batch.video_weight).mean(),
        "audio": (audio * batch.audio_weight.repeat_interleave(tracks)).mean(),
    }
    loss = weights.video * config.video.weight * means["video"] + config.audio.weight * means["audio"]
    return {"loss": loss} | {f"{batch.turn.value}_{name}_{batch.task}": means[name] for name in batch.learned}
