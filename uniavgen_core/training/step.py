"""One training step's losses: choose what the clip is asked for, disturb it, and compare velocities.

Three kinds of batch teach the network what its guided and conditional passes need: both modalities noisy; video kept
(dubbing) or sound kept (audio-driven video); and interactions off, half of it without texts, for the null pass.
Dimension key: B batch, C latent channels, T latent frames, H and W latent rows and columns, S mel frames.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from ..config import Interaction
from ..diffusion.flow import mix
from ..diffusion.schedule import TIMESTEPS
from ..model.joint import Conditions, JointModel
from .dataset import Batch, Clips
from .loss import face_mask_loss, velocity_loss
from .sigmas import LogitNormal


@dataclass(frozen=True)
class StepConfig:
    """What a step asks of the network.

    Attributes:
        batch: Clips in a step.
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
        bfloat16: Whether matrix products run in bfloat16.
    """

    batch: int = 16
    sigmas: LogitNormal = field(default_factory=LogitNormal)
    interaction_off: float = 0.15
    dubbing: float = 0.1
    audio_driven: float = 0.1
    text_dropout: float = 0.1
    text_dropout_from: float = 0.0
    null_with_off: float = 0.5
    face_weight: float = 2.0
    mask_weight: float = 1.0
    bfloat16: bool = True


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


def disturb(clean: Tensor, sigma: Tensor, generator: torch.Generator) -> Disturbed:
    """Mix clean data with fresh noise.

    Args:
        clean: Any shape.
        sigma: Noise level of each place, 0 where the clean value is kept; broadcasts to ``clean``.
        generator: Source of the noise.
    """
    noise = torch.randn(clean.shape, generator=generator)
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


@dataclass(frozen=True)
class LossWeights:
    """What counts how much.

    Attributes:
        face: Extra weight of the video loss where there is face or mouth.
        mask: Weight of the face-mask loss.
        mouth: Extra weight of the video loss where there is mouth, on top of the face's.
    """

    face: float
    mask: float
    mouth: float = 0.0


def example_losses(
    model: JointModel, example: Example, sigma: Tensor, weights: LossWeights, generator: torch.Generator
) -> Mapping[str, Tensor]:
    """Losses of one batch.

    Args:
        model: The network.
        example: The batch.
        sigma: Noise level of each clip, shared by all that is not kept of it, (B,).
        weights: What counts how much.
        generator: Source of the noise.

    Returns:
        By name: ``video``, ``audio``, ``mask``, and ``loss``, their weighted sum.
    """
    tracks = len(example.audio) // len(example.video)
    video_kept, audio_kept = example.video_kept, example.audio_kept
    video_sigma = sigma[:, None] * ~video_kept
    audio_sigma = sigma.repeat_interleave(tracks)[:, None] * ~audio_kept
    video = disturb(example.video, video_sigma[:, None, :, None, None], generator)
    audio = disturb(example.audio, audio_sigma[..., None], generator)
    timesteps = (TIMESTEPS * video_sigma, TIMESTEPS * audio_sigma)
    output = model(video.noisy, audio.noisy, timesteps, example.conditions, (video_kept, audio_kept))
    weight = 1 + weights.face * torch.maximum(example.face, example.mouth) + weights.mouth * example.mouth
    weight = weight * ~video_kept[..., None, None]
    video_loss = velocity_loss(output.video.float(), video.velocity, weight[:, None])
    audio_noisy = (~audio_kept).float()[..., None]
    # Where little is noisy, little counts: a mean over few frames would outweigh all the rest.
    audio_loss = velocity_loss(output.audio.float(), audio.velocity, audio_noisy) * audio_noisy.mean()
    mask_loss = face_mask_loss(output.face_masks.float(), rearrange(example.face, "b t h w -> b t (h w)"))
    loss = video_loss + audio_loss + weights.mask * mask_loss
    return {"loss": loss, "video": video_loss, "audio": audio_loss, "mask": mask_loss}


class JointStep:
    """Losses of joint training; called by the loop with (step, progress)."""

    def __init__(self, model: JointModel, clips: Clips, config: StepConfig, seed: int, rank: int = 0) -> None:
        self.model = model
        self.clips = clips
        self.config = config
        self.seed = seed
        self.rank = rank

    def __call__(self, step: int, progress: float) -> Mapping[str, Tensor]:
        """Compute the losses of one step: the task comes from (seed, step), the rest from (seed, step, rank)."""
        task = draw_task(self.config, np.random.default_rng([self.seed, step]))
        random = np.random.default_rng([self.seed, step, 1 + self.rank])
        generator = torch.Generator().manual_seed(int(random.integers(2**62)))
        batch = self._draw_batch(task, progress, random)
        sigma = self.config.sigmas.sample(self.config.batch, generator)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.config.bfloat16):
            return self.losses(batch, task, sigma, progress, generator)

    def _draw_batch(self, task: Task, progress: float, random: np.random.Generator) -> Batch:
        config = self.config
        dropped = config.text_dropout if progress >= config.text_dropout_from else 0.0
        share = config.null_with_off if task is SEPARATE else dropped
        textless = random.random(config.batch) < share
        return self.clips.batch(random.integers(len(self.clips), size=config.batch), textless, textless)

    def losses(
        self, batch: Batch, task: Task, sigma: Tensor, progress: float, generator: torch.Generator
    ) -> Mapping[str, Tensor]:
        """Losses of one batch at given noise levels, by name; ``loss`` is their weighted sum."""
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
        weights = LossWeights(self.config.face_weight, self.config.mask_weight * (1 - progress))
        return example_losses(self.model, example, sigma, weights, generator)


class AudioStep:
    """Losses of the audio branch alone: a video of one blank token keeps the other branch out of the way."""

    def __init__(self, model: JointModel, clips: Clips, config: StepConfig, seed: int) -> None:
        self.model = model
        self.clips = clips
        self.config = config
        self.seed = seed

    def __call__(self, step: int, progress: float) -> Mapping[str, Tensor]:
        """Compute the loss of one step; everything random comes from (seed, step)."""
        config = self.config
        random = np.random.default_rng([self.seed, step])
        generator = torch.Generator().manual_seed(int(random.integers(2**62)))
        dropped = config.text_dropout if progress >= config.text_dropout_from else 0.0
        textless = random.random(config.batch) < dropped
        batch = self.clips.batch(random.integers(len(self.clips), size=config.batch), textless, textless)
        sigma = config.sigmas.sample(config.batch, generator)
        with torch.autocast("cpu", torch.bfloat16, enabled=config.bfloat16):
            return {"loss": self.loss(batch, sigma, generator)}

    def loss(self, batch: Batch, sigma: Tensor, generator: torch.Generator) -> Tensor:
        """Velocity loss of the sound at given noise levels."""
        size = self.model.config.patch_size
        count, mel_frames = batch.audio.shape[:2]
        audio = disturb(batch.audio, sigma[:, None, None], generator)
        conditions = Conditions(
            caption=torch.zeros(count, 1, self.model.config.text.caption_dim),
            speech_ids=batch.speech_ids,
            speech_lengths=batch.speech_lengths,
            interaction=Interaction.OFF,
        )
        blank = torch.zeros(count, self.model.config.latent_channels, 1, size, size)
        timesteps = (torch.zeros(count, 1), TIMESTEPS * sigma[:, None].expand(-1, mel_frames))
        output = self.model(blank, audio.noisy, timesteps, conditions)
        return velocity_loss(output.audio.float(), audio.velocity, torch.ones(()))
