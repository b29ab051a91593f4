"""One training step's losses: choose what the clip is asked for, disturb it, and compare velocities.

Three kinds of batch teach the network what its guided and conditional passes need: both modalities noisy; video kept
(dubbing) or sound kept (audio-driven video); and interactions off, half of it without texts, for the null pass.
Dimension key: B batch, C latent channels, T latent frames, H and W latent rows and columns, S mel frames.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from ..config import Interaction
from ..diffusion.flow import mix
from ..diffusion.schedule import TIMESTEPS
from ..model.joint import Conditions, JointModel
from .loss import face_mask_loss, velocity_errors


@dataclass(frozen=True)
class Disturbed:
    """Clean data mixed with noise.

    Attributes:
        noisy: ``(1 - sigma) clean + sigma noise``, and clean where kept.
        velocity: ``noise - clean``.
    """

    noisy: Tensor
    velocity: Tensor


def disturb(clean: Tensor, sigma: Tensor, own: Sequence[np.random.Generator]) -> Disturbed:
    """Mix clean data with fresh noise.

    Args:
        clean: Of each example one or more rows, (B * K, ...).
        sigma: Noise level of each place, 0 where the clean value is kept; broadcasts to ``clean``.
        own: Source of each example's noise, B.
    """
    rows = (len(clean) // len(own), *clean.shape[1:])
    drawn = np.concatenate([random.standard_normal(rows, dtype=np.float32) for random in own])
    noise = torch.from_numpy(drawn).to(clean.device)
    return Disturbed(mix(clean, noise, sigma), noise - clean)


@dataclass(frozen=True)
class Example:
    """Clean clips, what is kept of them, and what the network is told.

    Attributes:
        video: Latents, (B, C, T, H, W).
        audio: Normalised mel of each track, (B * K, S, 80).
        video_kept: Latents that are given, bool, (B, T).
        audio_kept: Mel frames that are given, bool, (B * K, S).
        face: Share of face in each latent pixel, of all faces, (B, T, H, W).
        mouth: Share of mouth, of all mouths, (B, T, H, W).
        conditions: Texts, references, interaction, steering.
    """

    video: Tensor
    audio: Tensor
    video_kept: Tensor
    audio_kept: Tensor
    face: Tensor
    mouth: Tensor
    conditions: Conditions


def on_device(value: Any, device: torch.device) -> Any:
    """Tensors of a dataclass, and of those in it, moved to a device."""
    if isinstance(value, Tensor):
        return value.to(device, non_blocking=True)
    if is_dataclass(value):
        return replace(value, **{field.name: on_device(getattr(value, field.name), device) for field in fields(value)})
    return value


def device_of(model: torch.nn.Module) -> torch.device:
    """Where a model's weights are."""
    return next(model.parameters()).device


@dataclass(frozen=True)
class LossWeights:
    """What counts how much.

    Attributes:
        face: Extra weight of the video loss where there is face or mouth.
        mask: Weight of the face-mask loss.
        mouth: Extra weight of the video loss where there is mouth, on top of the face's.
        video: Weight of the video loss as a whole.
    """

    face: float
    mask: float
    mouth: float = 0.0
    video: float = 1.0


def example_losses(
    model: JointModel, example: Example, sigma: Tensor, weights: LossWeights, own: Sequence[np.random.Generator]
) -> Mapping[str, Tensor]:
    """Losses of some examples, the means of each example's own.

    Args:
        model: The network.
        example: The examples, on the model's device.
        sigma: Noise level of each, shared by all that is not kept of it, (B,).
        weights: What counts how much.
        own: Source of each example's noise.

    Returns:
        By name: ``video``, ``audio``, ``mask``, and ``loss``, their weighted sum.
    """
    tracks = len(example.audio) // len(example.video)
    video_kept, audio_kept = example.video_kept, example.audio_kept
    video_sigma = sigma[:, None] * ~video_kept
    audio_sigma = sigma.repeat_interleave(tracks)[:, None] * ~audio_kept
    video = disturb(example.video, video_sigma[:, None, :, None, None], own)
    audio = disturb(example.audio, audio_sigma[..., None], own)
    timesteps = (TIMESTEPS * video_sigma, TIMESTEPS * audio_sigma)
    output = model(video.noisy, audio.noisy, timesteps, example.conditions, (video_kept, audio_kept))
    weight = 1 + weights.face * torch.maximum(example.face, example.mouth) + weights.mouth * example.mouth
    weight = weight * ~video_kept[..., None, None]
    video_loss = velocity_errors(output.video.float(), video.velocity, weight[:, None]).mean()
    audio_noisy = (~audio_kept).float()[..., None]
    audio_errors = velocity_errors(output.audio.float(), audio.velocity, audio_noisy)
    # Where little is noisy, little counts: a mean over few frames would outweigh all the rest.
    audio_loss = (audio_errors * audio_noisy.mean((1, 2))).mean()
    mask_loss = face_mask_loss(output.face_masks.float(), face_shares(example.face, model.config.patch_size))
    weighted = ((weights.video, video_loss), (1.0, audio_loss), (weights.mask, mask_loss))
    loss = sum(weight * term for weight, term in weighted if weight)
    return {"loss": loss, "video": video_loss, "audio": audio_loss, "mask": mask_loss}


def face_shares(face: Tensor, patch_size: int) -> Tensor:
    """Share of face in each token, (B, T, N), from that in each latent pixel, (B, T, H, W)."""
    if patch_size > 1:
        face = F.avg_pool2d(face, patch_size)
    return rearrange(face, "b t h w -> b t (h w)")


def without_picture(example: Example) -> Example:
    """The same sound beside a blank picture of 2 x 2 latent pixels, one token or four, that keeps the video out."""
    count, channels = example.video.shape[:2]
    nothing = example.video.new_zeros(count, 1, 2, 2)
    conditions = replace(
        example.conditions,
        caption=torch.zeros_like(example.conditions.caption[:, :1]),
        reference_image=None,
        interaction=Interaction.OFF,
    )
    return replace(
        example,
        video=nothing[:, None].expand(-1, channels, -1, -1, -1),
        video_kept=torch.ones(count, 1, dtype=torch.bool),
        face=nothing,
        mouth=nothing,
        conditions=conditions,
    )
