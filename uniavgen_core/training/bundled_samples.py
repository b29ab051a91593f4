"""Samples of a model that is trained on the bundled model's latents, to look at and listen to while it trains.

Plain sampling without guidance: what is wrong shows, and half the time is spent.
Dimension key: B clips, T latent frames, S mel frames.
"""

import torch
from torch import Tensor, nn

from ..bundled.bundled_files import load_codec
from ..bundled.bundled_sound import vocode
from ..diffusion.flow import velocity_to_denoised
from ..diffusion.sampler import Latents, sample_euler
from ..diffusion.schedule import TIMESTEPS, release_sigmas
from ..shapes import SAMPLE_RATE
from ..tasks import JOINT
from .batch_part import Part
from .flow_matching import CleanClips, device_of, to_device
from .sample_clips import Sample
from .task_sampling import TaskSample, TrainingClips


class BundledSampler:
    """Generates the same few clips again and again, from their first pictures and texts."""

    def __init__(self, source: TrainingClips[TaskSample], clips: int = 2, steps: int = 12, seed: int = 0) -> None:
        self.source = source
        self.part = Part(0, 0, clips)
        self.steps = steps
        self.seed = seed
        self.codec = load_codec()

    def __call__(self, model: nn.Module) -> list[Sample]:
        """Generate the clips with a model."""
        own, device = self.part.own(self.seed), device_of(model)
        sample = TaskSample(JOINT, JOINT.interaction)
        clips = to_device(self.source.draw_clips(sample, self.part.shared(self.seed), own), device)
        generator = torch.Generator().manual_seed(self.seed)
        noise = tuple(torch.randn(x.shape, generator=generator).to(device) for x in (clips.video, clips.audio))
        video, mel = sample_plainly(model, clips, noise, self.steps)
        with torch.autocast(device.type, enabled=False):
            pictures = self.codec.decode(video.float().cpu()).clamp(-1, 1)
            sound = vocode(mel.cpu())
        frames = ((pictures + 1) * 127.5).round().byte().permute(0, 2, 3, 4, 1).numpy()
        return [Sample(frames[i], sound[i].numpy(), SAMPLE_RATE, f"clip_{i}") for i in range(self.part.count)]


def sample_plainly(model: nn.Module, clips: CleanClips, noise: Latents, steps: int) -> tuple[Tensor, Tensor]:
    """Sample what is not kept of some clips, without guidance.

    Args:
        model: The network.
        clips: Parts that are kept, and conditions.
        noise: Noise of video and audio, of the clips' shapes.
        steps: Euler steps.

    Returns:
        Video latents and normalised mel.
    """
    masks = (clips.video_keep_mask, clips.audio_keep_mask)
    wide = (masks[0][:, None, :, None, None], masks[1][..., None])
    clean = (clips.video, clips.audio)

    def write_kept(latents: Latents) -> Latents:
        return tuple(torch.where(*parts) for parts in zip(wide, clean, latents, strict=True))

    def denoise(noisy: Latents, sigma: float) -> Latents:
        noisy = write_kept(noisy)
        times = tuple(TIMESTEPS * sigma * (~mask).float() for mask in masks)
        output = model(*noisy, times, clips.conditions, masks)
        velocities = (output.video.float(), output.audio.float())
        return tuple(velocity_to_denoised(x, v, sigma) for x, v in zip(noisy, velocities, strict=True))

    video, audio = write_kept(sample_euler(denoise, noise, release_sigmas(steps)))
    return video, audio
