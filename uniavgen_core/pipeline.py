"""Conditions in, joint latent out: the network, modality-aware guidance and the sampler together.

Dimension key: B batch, C latent channels, T video latents, H and W latent rows and columns, S mel frames.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from .config import GuidanceConfig, Interaction
from .diffusion.flow import velocity_to_denoised
from .diffusion.guidance import GuidancePlan, NullPass, guide
from .diffusion.sampler import Latents, sample_euler
from .diffusion.schedule import TIMESTEPS, release_sigmas
from .model.joint import Conditions, JointModel


@dataclass(frozen=True)
class SampleConfig:
    """How a clip is sampled; defaults are the release's.

    Attributes:
        steps: Euler steps.
        shift: Shift of the noise levels.
        guidance: Modality-aware guidance.
    """

    steps: int = 50
    shift: float = 5.0
    guidance: GuidanceConfig = field(default_factory=GuidanceConfig)


@dataclass(frozen=True)
class Kept:
    """Parts of the clip that are given, not generated.

    Attributes:
        video: Clean video latents, (B, C, T, H, W); read where the mask is set.
        audio: Clean normalised mel, (B, S, mel_bins); read where the mask is set.
        video_mask: Latents to keep, bool, (B, T).
        audio_mask: Mel frames to keep, bool, (B, S).
    """

    video: Tensor
    audio: Tensor
    video_mask: Tensor
    audio_mask: Tensor

    def write_into(self, latents: Latents) -> Latents:
        """Video and audio latents with the kept parts in their places."""
        video, audio = latents
        return (
            torch.where(self.video_mask[:, None, :, None, None], self.video.to(video), video),
            torch.where(self.audio_mask[:, :, None], self.audio.to(audio), audio),
        )

    def timesteps(self, sigma: float) -> tuple[Tensor, Tensor]:
        """Time of every latent and of every mel frame at noise level ``sigma``; 0 where kept."""
        return tuple(TIMESTEPS * sigma * (~mask).float() for mask in (self.video_mask, self.audio_mask))


def keep_nothing(video: Tensor, audio: Tensor) -> Kept:
    """A ``Kept`` that generates everything, for latents of these shapes."""
    masks = (
        x.new_zeros(x.shape[0], n, dtype=torch.bool) for x, n in ((video, video.shape[2]), (audio, audio.shape[1]))
    )
    return Kept(video, audio, *masks)


def keep_first_frame(latent: Tensor, video: Tensor, audio: Tensor) -> Kept:
    """A ``Kept`` whose clip starts with ``latent`` (B, C, 1, H, W), as joint generation from an image does."""
    kept = keep_nothing(torch.cat((latent, torch.zeros_like(video[:, :, 1:])), dim=2), audio)
    kept.video_mask[:, 0] = True
    return kept


class Denoiser:
    """Estimates clean latents by the network under modality-aware guidance."""

    def __init__(
        self, model: JointModel, conditions: Conditions, null: Conditions, kept: Kept, config: SampleConfig
    ) -> None:
        self.model = model
        self.conditions = conditions
        self.kept = kept
        self.plan = GuidancePlan(config.guidance, config.steps)
        late = replace(null, skipped_layer=config.guidance.skipped_layer)
        self.null = {
            NullPass.WITHOUT_INTERACTION: replace(late, interaction=Interaction.OFF),
            NullPass.WITHOUT_TEXT: late,
        }
        self.step = 0  # of the run under way; `generate` starts a new one

    def __call__(self, noisy: Latents, sigma: float) -> Latents:
        """Estimate clean latents; call once per step, in order."""
        null_pass = self.plan.null_pass(self.step)
        self.step += 1
        velocity = self.predict(noisy, sigma, self.conditions)
        if null_pass is not NullPass.NONE:
            null = self.predict(noisy, sigma, self.null[null_pass])
            scales = (self.plan.config.video_scale, self.plan.config.audio_scale)
            velocity = tuple(guide(*parts) for parts in zip(velocity, null, scales, strict=True))
        return tuple(velocity_to_denoised(x, v, sigma) for x, v in zip(noisy, velocity, strict=True))

    def predict(self, noisy: Latents, sigma: float, conditions: Conditions) -> Latents:
        """Velocities of one pass of the network."""
        dtype = self.model.patch_embedding.weight.dtype
        video, audio = (x.to(dtype) for x in self.kept.write_into(noisy))
        masks = (self.kept.video_mask, self.kept.audio_mask)
        output = self.model(video, audio, self.kept.timesteps(sigma), conditions, masks)
        return output.video.float(), output.audio.float()


def generate(
    denoiser: Denoiser,
    noise: Latents,
    sigmas: Tensor,
    on_step: Callable[[int, Latents], None] | None = None,
) -> Latents:
    """Sample one batch of clips.

    Args:
        denoiser: Network, conditions and guidance.
        noise: Gaussian noise for video (B, C, T, H, W) and audio (B, S, mel_bins), float32.
        sigmas: Falling noise levels, such as ``release_sigmas``, (steps + 1,).
        on_step: Called after every step with its number and the latents.

    Returns:
        Clean video and audio latents, kept parts written back.
    """
    denoiser.step = 0
    with torch.no_grad():
        return denoiser.kept.write_into(sample_euler(denoiser, noise, sigmas, on_step))


def sample(
    model: JointModel, conditions: Conditions, null: Conditions, kept: Kept, noise: Latents, config: SampleConfig
) -> Latents:
    """Sample one batch with the release's noise levels; see ``generate``."""
    denoiser = Denoiser(model, conditions, null, kept, config)
    return generate(denoiser, noise, release_sigmas(config.steps, config.shift))
