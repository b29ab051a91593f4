"""Training steps of the first stages: the audio branch alone, and both branches on three kinds of batch.

Three kinds of batch teach the network what its guided and conditional passes need: both modalities noisy; video kept
(dubbing) or sound kept (audio-driven video); and interactions off, half of it without texts, for the null pass.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from uniavgen_core.config import Interaction
from uniavgen_core.diffusion.schedule import TIMESTEPS
from uniavgen_core.model.conditions import Conditions
from uniavgen_core.model.joint import JointModel
from uniavgen_core.training.batch_part import Part
from uniavgen_core.training.loss import velocity_errors
from uniavgen_core.training.sigmas import LogitNormal, sample_sigmas
from uniavgen_core.training.step import Example, LossWeights, device_of, disturb, example_losses, on_device

from .clip_shards import Batch, Clips


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
