"""Losses of one step of distillation from errors of each clip, weighted by modality and noise level."""

from torch import Tensor

from ...diffusion.sampler import Latents
from ..flow_matching import LossWeights, modality_errors
from .distill_batches import DistillBatch
from .distill_config import DistillConfig


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
