"""The flow of some clips through a network: noise, velocities, and estimates of what is generated.

Kept parts are clean wherever the network sees them. Noise levels are given for each clip.
Dimension key: B batch, K audio tracks per clip.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...diffusion.flow import over_pixels, velocity_to_denoised
from ...diffusion.guidance import GuidancePlan, guide
from ...diffusion.sampler import Latents
from ...diffusion.schedule import TIMESTEPS
from ...model.joint import Conditions
from ..flow_matching import CleanClips, noised, sigma_maps


@dataclass(frozen=True)
class ClipFlow:
    """A network and the clips that flow through it.

    Attributes:
        model: The network, with whichever adapters are active.
        clips: Clean clips, what is kept of them, and conditions.
    """

    model: nn.Module
    clips: CleanClips

    @property
    def clean(self) -> Latents:
        """Clean video and audio."""
        return self.clips.video, self.clips.audio

    def noisy(self, clean: Latents, noise: Latents, sigma: Tensor) -> Latents:
        """Mix clean latents with noise at levels (B,); kept parts are the clips' own."""
        return noised(self.with_kept(clean), noise, sigma_maps(self.clips, sigma))

    def velocity(self, noisy: Latents, sigma: Tensor, conditions: Conditions | None = None) -> Latents:
        """Velocities of one pass, float32, under the clips' conditions or others."""
        video, audio = sigma_maps(self.clips, sigma)
        keep = (self.clips.video_keep_mask, self.clips.audio_keep_mask)
        times = (TIMESTEPS * video, TIMESTEPS * audio)
        output = self.model(*self.with_kept(noisy), times, conditions or self.clips.conditions, keep)
        return output.video.float(), output.audio.float()

    def guided_velocity(self, noisy: Latents, sigma: Tensor, null: Conditions | None, plan: GuidancePlan) -> Latents:
        """Velocities under guidance.

        Args:
            noisy: Noisy latents.
            sigma: Their noise levels, (B,), all with the same null pass.
            null: Conditions of that null pass; None for no guidance.
            plan: Scales.
        """
        cond = self.velocity(noisy, sigma)
        if null is None:
            return cond
        scales = (plan.config.video_scale, plan.config.audio_scale)
        parts = zip(cond, self.velocity(noisy, sigma, null), scales, strict=True)
        return tuple(guide(*part) for part in parts)

    def denoised(self, noisy: Latents, velocity: Latents, sigma: Tensor) -> Latents:
        """Estimate the clean latents from velocities at levels (B,)."""
        return self.moved(noisy, velocity, sigma, torch.zeros_like(sigma))

    def moved(self, noisy: Latents, velocity: Latents, sigma: Tensor, later: Tensor) -> Latents:
        """Follow velocities from levels (B,) to later ones, as one step of Euler's method does."""
        parts = zip(noisy, velocity, self.per_clip(sigma - later), strict=True)
        return tuple(velocity_to_denoised(*part) for part in parts)

    def per_clip(self, values: Tensor) -> Latents:
        """One number for each clip, (B,), in shapes that spread over video and audio."""
        tracks = len(self.clips.audio) // len(self.clips.video)
        return values.view(-1, 1, 1, 1, 1), values.repeat_interleave(tracks).view(-1, 1, 1)

    def with_kept(self, latents: Latents) -> Latents:
        """Video and audio latents with the clips' kept parts in their places."""
        video, audio = latents
        return (
            torch.where(over_pixels(self.clips.video_keep_mask)[:, None], self.clips.video, video),
            torch.where(self.clips.audio_keep_mask[..., None], self.clips.audio, audio),
        )
