"""Conditions in, joint latent out: the network, modality-aware guidance and the sampler together.

Dimension key: B batch, C latent channels, T video latents, H and W latent rows and columns, S mel frames.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from .config import GuidanceConfig, Interaction
from .diffusion.flow import mix, over_pixels, velocity_to_denoised
from .diffusion.guidance import GuidancePlan, NullPass, guide
from .diffusion.sampler import Latents, sample_euler
from .diffusion.schedule import TIMESTEPS, release_sigmas
from .model.joint import Conditions, JointModel


@dataclass(frozen=True)
class SampleConfig:
    """Settings of a sampling run; defaults are the release's.

    Attributes:
        steps: Euler steps.
        shift: Shift of the noise levels.
        guidance: Modality-aware guidance.
    """

    steps: int = 50
    shift: float = 5.0
    guidance: GuidanceConfig = field(default_factory=GuidanceConfig)

    @property
    def sigmas(self) -> Tensor:
        """The release's noise levels for these steps, (steps + 1,)."""
        return release_sigmas(self.steps, self.shift)


@dataclass(frozen=True)
class KeptLatents:
    """Latents of the user's own media, and the masks of what is kept of them while the rest is generated.

    Attributes:
        video: Clean video latents, (B, C, T, H, W); read where the mask keeps.
        audio: Clean normalised mel, (B, S, mel_bins); read where the mask keeps.
        video_keep: True for latents that are kept, bool, (B, T), or for latent pixels, (B, T, H, W), whole tokens of
            them.
        audio_keep: True for mel frames that are kept, bool, (B, S).
    """

    video: Tensor
    audio: Tensor
    video_keep: Tensor
    audio_keep: Tensor

    def write_into(self, latents: Latents) -> Latents:
        """Video and audio latents with the kept parts in their places."""
        video, audio = latents
        return (
            torch.where(over_pixels(self.video_keep)[:, None], self.video.to(video), video),
            torch.where(self.audio_keep[:, :, None], self.audio.to(audio), audio),
        )

    def timesteps(self, sigma: float) -> tuple[Tensor, Tensor]:
        """Times at noise level ``sigma``, of the shapes of the masks: 0 where kept."""
        video, audio = (TIMESTEPS * sigma * (~keep).float() for keep in (self.video_keep, self.audio_keep))
        return video, audio


def keep_nothing(video: Tensor, audio: Tensor) -> KeptLatents:
    """Masks that generate everything, for latents of these shapes."""
    return KeptLatents(
        video,
        audio,
        video_keep=video.new_zeros(video.shape[0], video.shape[2], dtype=torch.bool),
        audio_keep=audio.new_zeros(audio.shape[0], audio.shape[1], dtype=torch.bool),
    )


def keep_first_frame(latent: Tensor, video: Tensor, audio: Tensor) -> KeptLatents:
    """Masks of a clip that starts with ``latent`` (B, C, 1, H, W), as joint generation from an image does."""
    kept = keep_nothing(torch.cat((latent, torch.zeros_like(video[:, :, 1:])), dim=2), audio)
    first = torch.arange(video.shape[2], device=video.device) == 0
    return replace(kept, video_keep=first.expand_as(kept.video_keep))


class Denoiser:
    """Estimates clean latents by the network under modality-aware guidance. Calls do not change it."""

    def __init__(
        self, model: JointModel, conditions: Conditions, null: Conditions, kept: KeptLatents, plan: GuidancePlan
    ) -> None:
        self.model = model
        self.conditions = conditions
        self.kept = kept
        self.plan = plan
        without_text = replace(null, skip_layer=plan.config.skip_layer)
        self.null = {
            NullPass.WITHOUT_INTERACTION: replace(without_text, interaction=Interaction.OFF),
            NullPass.WITHOUT_TEXT: without_text,
        }

    def __call__(self, noisy: Latents, sigma: float) -> Latents:
        """Estimate clean latents from noisy ones at noise level ``sigma``."""
        velocity = self.predict(noisy, sigma, self.conditions)
        null_pass = self.plan.null_pass(sigma)
        if null_pass is not NullPass.NONE:
            null = self.predict(noisy, sigma, self.null[null_pass])
            scales = (self.plan.config.video_scale, self.plan.config.audio_scale)
            velocity = tuple(guide(*parts) for parts in zip(velocity, null, scales, strict=True))
        return tuple(velocity_to_denoised(x, v, sigma) for x, v in zip(noisy, velocity, strict=True))

    def predict(self, noisy: Latents, sigma: float, conditions: Conditions) -> Latents:
        """Velocities of one pass of the network."""
        dtype = next(self.model.patch_embedding.parameters()).dtype
        video, audio = (x.to(dtype) for x in self.kept.write_into(noisy))
        keep_masks = (self.kept.video_keep, self.kept.audio_keep)
        output = self.model(video, audio, self.kept.timesteps(sigma), conditions, keep_masks)
        return output.video.float(), output.audio.float()


class BlendedDenoiser:
    """Denoiser for a network that was not trained on regions of pictures: what is kept around one is blended in.

    It is noised to the level of each step, and clean in each estimate; latents that are kept whole stay clean. Of the
    first latent nothing is generated if it has a region: a network that gets the first picture clean in every task does
    worse without it.
    Source: blended diffusion, arXiv:2111.14818.

    Args:
        denoiser: Denoiser with the masks of the run.
        noise: The run's noise for video, (B, C, T, H, W).
    """

    def __init__(self, denoiser: Denoiser, noise: Tensor) -> None:
        keep = over_pixels(denoiser.kept.video_keep).clone()
        keep[:, 0] |= keep[:, 0].flatten(1).any(1)[:, None, None]
        self.kept, self.noise = replace(denoiser.kept, video_keep=keep), noise
        self.denoiser, whole = copy.copy(denoiser), keep.flatten(2).all(2)
        self.denoiser.kept = replace(self.kept, video_keep=whole)

    def __call__(self, noisy: Latents, sigma: float) -> Latents:
        """Estimate clean latents from noisy ones at noise level ``sigma``."""
        noised = replace(self.kept, video=mix(self.kept.video, self.noise, sigma)).write_into(noisy)
        return self.kept.write_into(self.denoiser(noised, sigma))


def generate(
    denoiser: Denoiser | BlendedDenoiser,
    noise: Latents,
    sigmas: Tensor,
    on_step: Callable[[int, Latents], None] | None = None,
) -> Latents:
    """Sample one batch of clips: clean video and audio latents, kept parts written back.

    Args:
        denoiser: Network, conditions and guidance.
        noise: Gaussian noise for video (B, C, T, H, W) and audio (B, S, mel_bins), float32.
        sigmas: Falling noise levels, those that the denoiser's guidance is planned for, (steps + 1,).
        on_step: Called after every step with its number and the latents.
    """
    with torch.no_grad():
        return denoiser.kept.write_into(sample_euler(denoiser, noise, sigmas, on_step))


def sample(
    model: JointModel, conditions: Conditions, null: Conditions, kept: KeptLatents, noise: Latents, config: SampleConfig
) -> Latents:
    """Sample one batch with the release's noise levels; see ``generate``."""
    plan = GuidancePlan.of(config.guidance, config.sigmas)
    return generate(Denoiser(model, conditions, null, kept, plan), noise, config.sigmas)
