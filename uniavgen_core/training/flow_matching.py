"""Flow matching: one training step, from a batch that holds its noise to its losses.

Source: rectified flow (Liu et al., arXiv:2209.03003); face-mask loss of UniAVGen (arXiv:2511.03334), section 3.3.
Dimension key: B batch, K audio tracks per clip, C latent channels, T latent frames, H and W latent rows and columns,
N tokens per latent, M interaction modules, S mel frames.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ..config import Interaction
from ..diffusion.flow import mix, over_pixels
from ..diffusion.sampler import Latents
from ..diffusion.schedule import TIMESTEPS
from ..model.joint import Conditions, JointModel

Value = TypeVar("Value")


@dataclass(frozen=True)
class CleanClips:
    """Clean clips, the parts of them that are kept, and the conditions of the network.

    Attributes:
        video: Latents, (B, C, T, H, W).
        audio: Normalised mel of each track, (B * K, S, 80).
        video_keep_mask: Latents that are kept, bool, (B, T), or latent pixels, (B, T, H, W), whole tokens of them.
        audio_keep_mask: Mel frames that are kept, bool, (B * K, S).
        face: Share of face in each latent pixel, of all faces, (B, T, H, W).
        mouth: Share of mouth, of all mouths, (B, T, H, W).
        conditions: Texts, references, interaction, steering.
        has_picture: Whether there is a picture; a blank one teaches nothing about faces.
        eyes: Share of eyes, of all faces, (B, T, H, W); None where it is not known.
    """

    video: Tensor
    audio: Tensor
    video_keep_mask: Tensor
    audio_keep_mask: Tensor
    face: Tensor
    mouth: Tensor
    conditions: Conditions
    has_picture: bool = True
    eyes: Tensor | None = None


@dataclass(frozen=True)
class Batch:
    """Everything a training step needs but the network: clean clips, noise levels and noise.

    Attributes:
        clips: The clean clips.
        sigma: Noise level of each clip, shared by all that is not kept of it, (B,).
        video_noise: Noise, shape of ``clips.video``.
        audio_noise: Noise, shape of ``clips.audio``.
        task: Name of the task, for the log.
        learned: Modalities of which something is generated.
    """

    clips: CleanClips
    sigma: Tensor
    video_noise: Tensor
    audio_noise: Tensor
    task: str = ""
    learned: tuple[str, ...] = ("video", "audio")

    @property
    def noise(self) -> Latents:
        """Noise of video and audio."""
        return self.video_noise, self.audio_noise

    def pin_memory(self) -> "Batch":
        """Copy to pinned memory, from where tensors reach a device without waiting; PyTorch's loader calls this."""
        return map_tensors(self, Tensor.pin_memory)


@dataclass(frozen=True)
class LossWeights:
    """Weights of the parts of the loss.

    Attributes:
        face: Extra weight of the video loss where there is face or mouth.
        mask: Weight of the face-mask loss.
        mouth: Extra weight of the video loss where there is mouth, on top of the face's.
        eyes: Extra weight of the video loss where there are eyes, on top of the face's.
        video: Weight of the video loss as a whole; 0 leaves the picture's weights without gradients.
    """

    face: float = 0.0
    mask: float = 0.0
    mouth: float = 0.0
    eyes: float = 0.0
    video: float = 1.0


def example_errors(predicted: Tensor, velocity: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean squared error of each example's velocity, so that a batch in parts has the batch's loss.

    Args:
        predicted: Output of the network, (B, ...).
        velocity: ``noise - clean``, same shape.
        weight: Weight of each place, 0 where the clean value is kept; broadcasts to that shape.

    Returns:
        Errors, (B,); 0 where every place is kept.
    """
    weight = weight.expand_as(predicted).flatten(1)
    error = weight * (predicted - velocity).flatten(1) ** 2
    return error.sum(1) / weight.sum(1).clamp_min(1e-8)


def batch_error(predicted: Tensor, velocity: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean squared error of the velocity over all places of a batch; see ``example_errors``.

    Returns:
        Scalar; 0 if every place is kept.
    """
    weight = weight.expand_as(predicted)
    return (weight * (predicted - velocity) ** 2).sum() / weight.sum().clamp_min(1e-8)


def face_mask_loss(predicted: Tensor, face: Tensor) -> Tensor:
    """Mean over layers of the squared error of the predicted face masks.

    Args:
        predicted: Masks of all interaction modules, (B, M, T, N) in [0, 1].
        face: The true share of face in each token, (B, T, N) in [0, 1].

    Returns:
        Scalar.
    """
    return ((predicted - face[:, None]) ** 2).mean()


def sigma_maps(clips: CleanClips, sigma: Tensor) -> Latents:
    """Noise levels of all places: 0 where kept, and elsewhere each clip's own.

    Args:
        clips: The clips.
        sigma: Noise level of each clip, (B,).

    Returns:
        Levels of the video, shape of its keep mask, and of mel frames, (B * K, S).
    """
    video, audio = clips.video_keep_mask, clips.audio_keep_mask
    tracks = len(audio) // len(video)
    return sigma.view(-1, *[1] * (video.ndim - 1)) * ~video, sigma.repeat_interleave(tracks)[:, None] * ~audio


def noised(clean: Latents, noise: Latents, sigmas: Latents) -> Latents:
    """Mix video and audio with noise at the levels of ``sigma_maps``, in the dtype of ``clean``."""
    wide = (over_pixels(sigmas[0])[:, None], sigmas[1][..., None])
    return tuple(mix(x, *pair).to(x) for x, *pair in zip(clean, noise, wide, strict=True))


def modality_errors(
    predicted: Latents,
    wanted: Latents,
    clips: CleanClips,
    weights: LossWeights,
    error: Callable[[Tensor, Tensor, Tensor], Tensor] = example_errors,
) -> Latents:
    """Errors of what is generated of each clip.

    Args:
        predicted: Video, (B, C, T, H, W), and audio, (B * K, S, 80), as the network has them.
        wanted: The same as they should be.
        clips: The clips, with what is kept of them.
        weights: Weights of faces, mouths and eyes.
        error: Weighted mean squared error, of each example or of the batch.

    Returns:
        Errors of the video, (B,), and of the audio, (B * K,). A clip's audio counts by the share of it that is
        generated: a mean over few frames would outweigh all the rest.
    """
    places = 1 + weights.face * torch.maximum(clips.face, clips.mouth) + weights.mouth * clips.mouth
    if weights.eyes and clips.eyes is not None:
        places = places + weights.eyes * clips.eyes
    places = (places * ~over_pixels(clips.video_keep_mask))[:, None]
    generated = (~clips.audio_keep_mask).float()[..., None]
    video_error = error(predicted[0].float(), wanted[0].float(), places)
    audio_error = error(predicted[1].float(), wanted[1].float(), generated)
    return video_error, audio_error * generated.mean((1, 2))


def flow_matching_losses(
    model: JointModel,
    batch: Batch,
    weights: LossWeights,
    error: Callable[[Tensor, Tensor, Tensor], Tensor] = example_errors,
    lead: Callable[[Latents, Latents], Latents] | None = None,
) -> dict[str, Tensor]:
    """Losses of a batch: the network predicts ``noise - clean`` from ``(1 - sigma) clean + sigma noise``.

    Args:
        model: The network.
        batch: The batch, on the model's device.
        weights: Weights of the parts of the loss.
        error: Weighted mean squared error, of each example or of the batch.
        lead: Takes the noisy latents and the network's velocities, and returns what is added to the true ones.

    Returns:
        By name: ``video``, ``audio``, ``mask``, and ``loss``, their weighted sum.
    """
    clips, sigmas = batch.clips, sigma_maps(batch.clips, batch.sigma)
    noise = batch.noise
    timesteps = (TIMESTEPS * sigmas[0], TIMESTEPS * sigmas[1])
    keep = (clips.video_keep_mask, clips.audio_keep_mask)
    noisy = noised((clips.video, clips.audio), noise, sigmas)
    output = model(*noisy, timesteps, clips.conditions, keep)
    predicted, wanted = (output.video, output.audio), (noise[0] - clips.video, noise[1] - clips.audio)
    if lead is not None:
        wanted = tuple(map(torch.add, wanted, lead(noisy, predicted)))
    errors = modality_errors(predicted, wanted, clips, weights, error)
    video_loss, audio_loss = (each.mean() for each in errors)
    mask_loss = face_mask_loss(output.face_masks.float(), token_shares(clips.face, model.config.patch_size))
    parts = ((weights.video, video_loss), (1.0, audio_loss), (weights.mask * clips.has_picture, mask_loss))
    loss = sum((weight * part for weight, part in parts if weight), start=torch.zeros_like(video_loss))
    return {"loss": loss, "video": video_loss, "audio": audio_loss, "mask": mask_loss}


def token_shares(face: Tensor, patch_size: int) -> Tensor:
    """Share of face in each token, (B, T, N), from that in each latent pixel, (B, T, H, W)."""
    if patch_size > 1:
        face = F.avg_pool2d(face, patch_size)
    return rearrange(face, "b t h w -> b t (h w)")


def with_noise(clips: CleanClips, sigma: Tensor, own: Sequence[np.random.Generator]) -> Batch:
    """Draw the noise of some clips.

    Args:
        clips: The clean clips.
        sigma: Noise level of each, (B,).
        own: Each example's own generator, B.
    """
    video_noise, audio_noise = (draw_noise(clean, own) for clean in (clips.video, clips.audio))
    return Batch(clips, sigma, video_noise, audio_noise)


def draw_noise(clean: Tensor, own: Sequence[np.random.Generator]) -> Tensor:
    """Noise of the shape of clean data that has one or more rows for each generator."""
    rows = (len(clean) // len(own), *clean.shape[1:])
    return torch.from_numpy(np.concatenate([random.standard_normal(rows, dtype=np.float32) for random in own]))


def without_picture(clips: CleanClips) -> CleanClips:
    """The same sound beside a blank, kept picture of 2 x 2 latent pixels, one token or four, without interaction."""
    count, channels = clips.video.shape[:2]
    blank = clips.video.new_zeros(count, 1, 2, 2)
    conditions = replace(
        clips.conditions,
        caption=clips.video.new_zeros(count, 1, clips.conditions.described.shape[-1]),
        reference_image=None,
        interaction=Interaction.OFF,
    )
    return replace(
        clips,
        video=blank[:, None].expand(-1, channels, -1, -1, -1),
        video_keep_mask=torch.ones(count, 1, dtype=torch.bool),
        face=blank,
        mouth=blank,
        eyes=None,
        conditions=conditions,
        has_picture=False,
    )


def map_tensors(value: Value, change: Callable[[Tensor], Tensor]) -> Value:
    """Change the tensors of a dataclass, and of dataclasses in it."""
    if isinstance(value, Tensor):
        return change(value)
    if is_dataclass(value) and not isinstance(value, type):
        changed = {field.name: map_tensors(getattr(value, field.name), change) for field in fields(value)}
        return replace(value, **changed)
    return value


def to_device(value: Any, device: torch.device | str) -> Any:
    """Move the tensors of a batch to a device."""
    return map_tensors(value, lambda tensor: tensor.to(device, non_blocking=True))


def device_of(model: nn.Module) -> torch.device:
    """Device of a model's weights."""
    return next(model.parameters()).device
