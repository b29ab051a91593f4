"""Distribution matching: the student's samples become as likely as the teacher's.

The student samples in its few passes from noise, with new noise after each, and one of these passes is trained on its
own inputs. A critic, another set of adapters, learns the velocity of the student's samples. The difference between the
critic's and the guided teacher's estimate of a noised sample is the gradient of their divergence.
Source: DMD2 (Yin et al., arXiv:2405.14867), equation 1 and sections 4.2 and 4.4, without its discriminator.
Dimension key: B batch.
"""

import torch
from torch import Tensor

from ...diffusion.flow import over_pixels
from ...diffusion.sampler import Latents
from ..active_adapter import active_adapter, without_gradient
from ..flow_matching import CleanClips
from ..lora import ADAPTER
from .clip_flow import ClipFlow
from .distill_batches import DistillBatch, Turn
from .distill_config import CRITIC
from .distill_losses import DistillLosses

_LEAST = 1e-6


def matching_gradient(sample: Latents, real: Latents, fake: Latents, generated: Latents) -> Latents:
    """Gradient by which samples become likelier under the teacher and less so under the critic.

    Args:
        sample: Clean samples of the student, (B, ...) each.
        real: The teacher's estimates of them from their noised selves.
        fake: The critic's.
        generated: 1 for what is generated, broadcastable.

    Returns:
        ``fake - real`` in units of the mean distance between sample and teacher's estimate, of each example and
        modality; shapes of ``sample``.
    """
    return tuple(map(_normalized_difference, sample, real, fake, generated))


def _normalized_difference(sample: Tensor, real: Tensor, fake: Tensor, generated: Tensor) -> Tensor:
    generated = generated.expand_as(sample).float()
    axes = tuple(range(1, sample.ndim))
    distance = (generated * (sample - real).abs()).sum(axes, keepdim=True)
    return (fake - real) * generated.sum(axes, keepdim=True) / distance.clamp_min(_LEAST)


class DistributionLosses(DistillLosses):
    """Losses of distribution matching: a critic's or the student's, by the turn of the batch."""

    def compared(self, flow: ClipFlow, batch: DistillBatch) -> tuple[Latents, Latents]:
        """Velocities or samples of the adapters whose turn it is, and those that they should give."""
        noisy, sigma = without_gradient(flow.model, ADAPTER, self.before_the_pass)(flow, batch)
        of_turn = self._of_student if batch.turn is Turn.STUDENT else self._of_critic
        return of_turn(flow, batch, noisy, sigma)

    def before_the_pass(self, flow: ClipFlow, batch: DistillBatch) -> tuple[Latents, Tensor]:
        """Noisy latents and noise level, (B,), of the pass that is trained, from the student's earlier passes."""
        sigmas = self.config.sigmas.to(flow.clips.video.device)[:, None].expand(-1, len(flow.clips.video))
        noisy = flow.noisy(flow.clean, batch.noise(0), sigmas[0])
        for number in range(batch.earlier):
            sample = sampled(flow, noisy, sigmas[number])
            noisy = flow.noisy(sample, batch.noise(number + 1), sigmas[number + 1])
        return noisy, sigmas[batch.earlier]

    def _of_critic(self, flow: ClipFlow, batch: DistillBatch, noisy: Latents, sigma: Tensor) -> tuple[Latents, Latents]:
        """Velocities of the student's noised samples, as the critic has them and as they are."""
        sample = without_gradient(flow.model, ADAPTER, sampled)(flow, noisy, sigma)
        noise, level = batch.noise(-1), self.levels(batch)
        with active_adapter(flow.model, CRITIC):
            predicted = flow.velocity(flow.noisy(sample, noise, level), level)
        return predicted, tuple(map(torch.sub, noise, sample))

    def _of_student(
        self, flow: ClipFlow, batch: DistillBatch, noisy: Latents, sigma: Tensor
    ) -> tuple[Latents, Latents]:
        """The student's samples, and samples that are one unit of the gradient nearer to the teacher's."""
        sample = sampled(flow, noisy, sigma)
        still, level = tuple(x.detach() for x in sample), self.levels(batch)
        renoised = flow.noisy(still, batch.noise(-1), level)
        of_teacher = self.teacher(flow, batch)(renoised, level)
        of_critic = without_gradient(flow.model, CRITIC, flow.velocity)(renoised, level)
        real, fake = (flow.denoised(renoised, velocity, level) for velocity in (of_teacher, of_critic))
        gradient = matching_gradient(still, real, fake, generated_places(flow.clips))
        # The gradient of half the squared error is that of the divergence.
        scale = 0.5**0.5
        return tuple(scale * x for x in sample), tuple(scale * (x - g) for x, g in zip(still, gradient, strict=True))

    def levels(self, batch: DistillBatch) -> Tensor:
        """Noise levels at which samples are compared, (B,)."""
        return self.config.levels.to(batch.level.device)[batch.level]


def sampled(flow: ClipFlow, noisy: Latents, sigma: Tensor) -> Latents:
    """Clean latents by one pass of the network from noise levels (B,)."""
    return flow.denoised(noisy, flow.velocity(noisy, sigma), sigma)


def generated_places(clips: CleanClips) -> Latents:
    """1 for what is generated of some clips, in shapes that spread over video and audio."""
    return ~over_pixels(clips.video_keep_mask)[:, None], ~clips.audio_keep_mask[..., None]
