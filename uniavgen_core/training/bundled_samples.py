"""Samples of a model that is trained on the bundled model's latents, to look at and listen to while it trains.

Plain sampling without guidance: what is wrong shows, and half the time is spent.
Dimension key: B clips, T latent frames, S mel frames.
"""

import torch
from torch import Tensor, nn

from ..bundled.bundled_files import load_codec
from ..config import Interaction
from ..diffusion.flow import velocity_to_denoised
from ..diffusion.sampler import Latents, sample_euler
from ..diffusion.schedule import TIMESTEPS, release_sigmas
from ..media.audio.griffin_lim import GriffinLim
from ..media.audio.loudness import under_ceiling
from ..media.audio.mel import denormalize_mel
from ..shapes import SAMPLE_RATE
from .batch_part import Part
from .sample_clips import Sample
from .step import Example, device_of, on_device
from .task_sampling import Ask, TaskKind
from .task_step import Source

ASK = Ask(TaskKind.JOINT, Interaction.BOTH)


class ToonSampler:
    """Generates the same few clips again and again, from their first pictures and texts."""

    def __init__(self, source: Source, clips: int = 2, steps: int = 12, seed: int = 0) -> None:
        self.source = source
        self.part = Part(0, 0, clips)
        self.steps = steps
        self.seed = seed
        self.codec = load_codec()

    def __call__(self, model: nn.Module) -> list[Sample]:
        """Generate the clips with a model."""
        own, device = self.part.own(self.seed), device_of(model)
        example = on_device(self.source.example(ASK, self.part.shared(self.seed), own), device)
        generator = torch.Generator().manual_seed(self.seed)
        noise = tuple(torch.randn(x.shape, generator=generator).to(device) for x in (example.video, example.audio))
        video, mel = sample_plainly(model, example, noise, self.steps)
        with torch.autocast(device.type, enabled=False):
            pictures = self.codec.decode(video.float().cpu()).clamp(-1, 1)
            sound = under_ceiling(GriffinLim().decode(denormalize_mel(mel.float().cpu()).mT)[:, None])[:, 0]
        frames = ((pictures + 1) * 127.5).round().byte().permute(0, 2, 3, 4, 1).numpy()
        return [Sample(frames[i], sound[i].numpy(), SAMPLE_RATE, f"clip_{i}") for i in range(self.part.count)]


def sample_plainly(model: nn.Module, example: Example, noise: Latents, steps: int) -> tuple[Tensor, Tensor]:
    """Sample what is not kept of an example, without guidance.

    Args:
        model: The network.
        example: What is kept and told.
        noise: Noise of video and audio, as the example's.
        steps: Euler steps.

    Returns:
        Video latents and normalised mel.
    """
    masks = (example.video_kept, example.audio_kept)
    wide = (masks[0][:, None, :, None, None], masks[1][..., None])
    clean = (example.video, example.audio)

    def write_kept(latents: Latents) -> Latents:
        return tuple(torch.where(*parts) for parts in zip(wide, clean, latents, strict=True))

    def denoise(noisy: Latents, sigma: float) -> Latents:
        noisy = write_kept(noisy)
        times = tuple(TIMESTEPS * sigma * (~mask).float() for mask in masks)
        output = model(*noisy, times, example.conditions, masks)
        velocities = (output.video.float(), output.audio.float())
        return tuple(velocity_to_denoised(x, v, sigma) for x, v in zip(noisy, velocities, strict=True))

    return write_kept(sample_euler(denoise, noise, release_sigmas(steps)))
