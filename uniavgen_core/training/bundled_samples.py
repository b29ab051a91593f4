"""Samples of a model that is trained on the bundled model's latents, to look at and listen to while it trains.

Plain sampling without guidance: what is wrong shows, and half the time is spent.
Dimension key: B clips, T latent frames, S mel frames.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..bundled.bundled_files import load_codec
from ..bundled.bundled_sound import vocode
from ..diffusion.sampler import Latents, sample_euler, sample_lcm
from ..diffusion.schedule import release_sigmas
from ..shapes import SAMPLE_RATE
from ..tasks import JOINT
from .batch_part import Part
from .distill.clip_flow import ClipFlow
from .distill.distill_config import DistillConfig
from .flow_matching import CleanClips, device_of, to_device
from .sample_clips import Sample
from .task_sampling import TaskSample, TrainingClips

STEPS = 12
"""Euler steps of the samples of a network that is no student."""


class BundledSampler:
    """Generates the same few clips again and again, from their first pictures and texts.

    Args:
        source: Clips to generate again.
        clips: Number of them.
        seed: Seed of their choice and their noise.
        distillation: Passes and sampler of a student; None for twelve Euler steps.
    """

    def __init__(
        self,
        source: TrainingClips[TaskSample],
        clips: int = 2,
        seed: int = 0,
        distillation: DistillConfig | None = None,
    ) -> None:
        self.source = source
        self.part = Part(0, 0, clips)
        self.seed = seed
        self.distillation = distillation
        self.codec = load_codec()

    def __call__(self, model: nn.Module) -> list[Sample]:
        """Generate the clips with a model."""
        own, device = self.part.own(self.seed), device_of(model)
        sample = TaskSample(JOINT, JOINT.interaction)
        clips = to_device(self.source.draw_clips(sample, self.part.shared(self.seed), own), device)
        generator = torch.Generator().manual_seed(self.seed)

        def draw_noise() -> Latents:
            return tuple(torch.randn(x.shape, generator=generator).to(device) for x in (clips.video, clips.audio))

        video, mel = sample_plainly(model, clips, draw_noise, self.distillation)
        with torch.autocast(device.type, enabled=False):
            pictures = self.codec.decode(video.float().cpu()).clamp(-1, 1)
            sound = vocode(mel.cpu())
        frames = ((pictures + 1) * 127.5).round().byte().permute(0, 2, 3, 4, 1).numpy()
        return [Sample(frames[i], sound[i].numpy(), SAMPLE_RATE, f"clip_{i}") for i in range(self.part.count)]


def sample_plainly(
    model: nn.Module, clips: CleanClips, draw_noise: Callable[[], Latents], distillation: DistillConfig | None = None
) -> tuple[Tensor, Tensor]:
    """Sample what is not kept of some clips, without guidance.

    Args:
        model: The network.
        clips: Parts that are kept, and conditions.
        draw_noise: Draws noise of video and audio, of the clips' shapes.
        distillation: Passes and sampler of a student; None for twelve Euler steps.

    Returns:
        Video latents and normalised mel.
    """
    flow = ClipFlow(model, clips)

    def denoise(noisy: Latents, sigma: float) -> Latents:
        sigmas = torch.full((len(clips.video),), sigma, device=clips.video.device)
        return flow.denoised(flow.with_kept(noisy), flow.velocity(noisy, sigmas), sigmas)

    sigmas = release_sigmas(STEPS) if distillation is None else distillation.sigmas
    if distillation is not None and distillation.sampler == "lcm":
        result = sample_lcm(denoise, draw_noise(), sigmas, draw_noise)
    else:
        result = sample_euler(denoise, draw_noise(), sigmas)
    video, audio = flow.with_kept(result)
    return video, audio
