"""One training step's losses: choose what the clip is asked for, disturb it, and compare velocities.

Three kinds of batch teach the network what its guided and conditional passes need: both modalities noisy; video kept
(dubbing) or sound kept (audio-driven video); and interactions off, half of it without texts, for the null pass.
Dimension key: B batch, C latent channels, T latent frames, H and W latent rows and columns, S mel frames.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
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
from .dataset import Batch, Clips
from .loss import face_mask_loss, velocity_errors
from .part import Part
from .sigmas import LogitNormal, sample_sigmas


@dataclass(frozen=True)
class StepConfig:
    """What a step asks of the network.

    Attributes:
        sigmas: Noise levels; one per clip, shared by both modalities.
        interaction_off: Share of steps with both interactions off.
        dubbing: Share of steps that keep the video and let it steer the sound.
        audio_driven: Share of steps that keep the sound and let it steer the video.
        text_dropout: Share of clips whose texts are dropped, from ``text_dropout_from`` on.
        text_dropout_from: Progress at which dropping texts begins.
        null_with_off: Share of clips without texts in steps with interactions off.
        face_weight: Extra weight of the video loss where there is face or mouth.
        mask_weight: Weight of the face-mask loss at the start; falls to zero. The paper takes 0.1 over 30,000 steps; in
            a thousand steps that leaves the masks dark but at the mouth.
    """

    sigmas: LogitNormal = field(default_factory=LogitNormal)
    interaction_off: float = 0.15
    dubbing: float = 0.1
    audio_driven: float = 0.1
    text_dropout: float = 0.1
    text_dropout_from: float = 0.0
    null_with_off: float = 0.5
    face_weight: float = 2.0
    mask_weight: float = 1.0


@dataclass(frozen=True)
class Task:
    """What a batch keeps and which interactions run."""

    interaction: Interaction
    video_kept: bool = False
    audio_kept: bool = False


JOINT = Task(Interaction.BOTH)
SEPARATE = Task(Interaction.OFF)
DUBBING = Task(Interaction.VIDEO_TO_AUDIO, video_kept=True)
AUDIO_DRIVEN = Task(Interaction.AUDIO_TO_VIDEO, audio_kept=True)


def draw_task(config: StepConfig, random: np.random.Generator) -> Task:
    """Draw the task of one step by the config's shares."""
    point = random.random()
    for share, task in (
        (config.interaction_off, SEPARATE),
        (config.dubbing, DUBBING),
        (config.audio_driven, AUDIO_DRIVEN),
    ):
        if point < share:
            return task
        point -= share
    return JOINT


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


class JointStep:
    """Losses of joint training; one task for all examples of a step."""

    def __init__(self, clips: Clips, config: StepConfig, seed: int) -> None:
        self.clips = clips
        self.config = config
        self.seed = seed

    def __call__(self, model: JointModel, part: Part, progress: float) -> Mapping[str, Tensor]:
        """Compute the losses of one part of a step."""
        task, own = draw_task(self.config, part.shared(self.seed)), part.own(self.seed)
        dropped = self.config.text_dropout if progress >= self.config.text_dropout_from else 0.0
        batch = draw_batch(self.clips, self.config.null_with_off if task is SEPARATE else dropped, own)
        return self.losses(model, batch, task, progress, own)

    def losses(
        self, model: JointModel, batch: Batch, task: Task, progress: float, own: Sequence[np.random.Generator]
    ) -> Mapping[str, Tensor]:
        """Losses of some examples of a task, by name; ``loss`` is their weighted sum."""
        video_kept = torch.zeros(batch.video.shape[0], batch.video.shape[2], dtype=torch.bool)
        video_kept[:, 0] = True
        example = Example(
            video=batch.video,
            audio=batch.audio,
            video_kept=video_kept | task.video_kept,
            audio_kept=torch.full(batch.audio.shape[:2], task.audio_kept),
            face=batch.face,
            mouth=batch.mouth,
            conditions=Conditions(
                caption=batch.caption,
                speech_ids=batch.speech_ids,
                speech_lengths=batch.speech_lengths,
                reference_image=batch.video[:, :, :1],
                interaction=task.interaction,
            ),
        )
        device, sigma = device_of(model), sample_sigmas(self.config.sigmas, own)
        weights = LossWeights(self.config.face_weight, self.config.mask_weight * (1 - progress))
        return example_losses(model, on_device(example, device), sigma.to(device), weights, own)


def draw_batch(clips: Clips, dropped: float, own: Sequence[np.random.Generator]) -> Batch:
    """One clip for each example, a share of them without texts."""
    chosen = np.array([random.integers(len(clips)) for random in own])
    textless = np.array([random.random() < dropped for random in own])
    return clips.batch(chosen, textless, textless)


class AudioStep:
    """Losses of the audio branch alone: a video of one blank token keeps the other branch out of the way."""

    def __init__(self, clips: Clips, config: StepConfig, seed: int) -> None:
        self.clips = clips
        self.config = config
        self.seed = seed

    def __call__(self, model: JointModel, part: Part, progress: float) -> Mapping[str, Tensor]:
        """Compute the loss of one part of a step."""
        own = part.own(self.seed)
        dropped = self.config.text_dropout if progress >= self.config.text_dropout_from else 0.0
        device = device_of(model)
        batch = on_device(draw_batch(self.clips, dropped, own), device)
        sigma = sample_sigmas(self.config.sigmas, own).to(device)
        size = model.config.patch_size
        count, mel_frames = batch.audio.shape[:2]
        audio = disturb(batch.audio, sigma[:, None, None], own)
        conditions = Conditions(
            caption=torch.zeros(count, 1, model.config.text.caption_dim, device=device),
            speech_ids=batch.speech_ids,
            speech_lengths=batch.speech_lengths,
            interaction=Interaction.OFF,
        )
        blank = torch.zeros(count, model.config.latent_channels, 1, size, size, device=device)
        timesteps = (torch.zeros(count, 1, device=device), TIMESTEPS * sigma[:, None].expand(-1, mel_frames))
        output = model(blank, audio.noisy, timesteps, conditions)
        return {"loss": velocity_errors(output.audio.float(), audio.velocity, torch.ones((), device=device)).mean()}
