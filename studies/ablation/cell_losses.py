"""What a training step of the study minimises; clips, noise and noise levels are the same for every cell of a seed.

Dimension key: B batch, T latent frames, S mel frames.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from uniavgen_core.config import Interaction
from uniavgen_core.diffusion.flow import mix
from uniavgen_core.diffusion.schedule import TIMESTEPS
from uniavgen_core.model.joint import Conditions, JointModel
from uniavgen_core.shapes import FPS, MEL_RATE, video_frames_of
from uniavgen_core.text.speech_tensors import SpokenText, speech_tensors
from uniavgen_core.training.batch_part import Part
from uniavgen_core.training.loss import face_mask_loss, velocity_loss
from uniavgen_core.training.sigmas import LogitNormal

from .cells import Cell, MaskLoss
from .study_clips import Material

OFF_SHARE, NULL_WITH_OFF, TEXT_DROPOUT = 0.15, 0.5, 0.1
"""Share of steps with the interaction off, share of their clips without texts, and of all other clips; as for toons."""
FACE_WEIGHT = 2.0
LEVELS = LogitNormal()


@dataclass(frozen=True)
class Task:
    """What a step keeps, and which directions run.

    Attributes:
        share: How often it is drawn, of ten.
        interaction: Directions that update their target.
        latents: Latents that are given; negative for all.
        sound: Whether the sound of the given latents is given too.
        whole_sound: Whether all sound is given.
        voice: Whether a reference voice is given.
    """

    share: int
    interaction: Interaction = Interaction.BOTH
    latents: int = 1
    sound: bool = False
    whole_sound: bool = False
    voice: bool = False


JOINT = Task(4)
TASKS = (
    JOINT,
    Task(1, Interaction.AUDIO_TO_VIDEO, voice=True),
    Task(1, latents=3, sound=True),
    Task(2, Interaction.VIDEO_TO_AUDIO, latents=-1),
    Task(2, Interaction.AUDIO_TO_VIDEO, whole_sound=True),
)
"""Joint generation, with a reference voice, continuation, dubbing, audio-driven video: 4:1:1:2:2 as in the paper."""


@dataclass(frozen=True)
class Noisy:
    """A batch and what is to be predicted of it.

    Attributes:
        chosen: Which clips.
        sigma: Noise level of each, (B,).
        noise: Of video and audio.
        conditions: What the network is told.
    """

    chosen: Sequence[int]
    sigma: Tensor
    noise: tuple[Tensor, Tensor]
    conditions: Conditions


class CellLosses:
    """Losses of one cell, or with ``cell`` None of both branches side by side; called by the trainer."""

    def __init__(self, material: Material, seed: int, cell: Cell | None) -> None:
        self.material = material
        self.seed = seed
        self.cell = cell

    def __call__(self, model: JointModel, part: Part, progress: float) -> Mapping[str, Tensor]:
        """Compute the losses of one step; everything random comes from (seed, step, example)."""
        task = self._draw_task(part.shared(self.seed), progress)
        own = part.own(self.seed)
        chosen = [int(random.integers(len(self.material))) for random in own]
        sigma = torch.sigmoid(LEVELS.mean + LEVELS.std * torch.tensor([random.normal() for random in own])).float()
        dropped = NULL_WITH_OFF if self.cell and task.interaction is Interaction.OFF else TEXT_DROPOUT
        textless = [random.random() < dropped for random in own]
        noise = tuple(
            torch.from_numpy(np.stack([random.standard_normal(array.shape[1:], np.float32) for random in own]))
            for array in (self.material.video, self.material.mel)
        )
        conditions = self.material.conditions(chosen, textless, model.config.text)
        if task.voice:
            conditions = self._with_voices(conditions, chosen, textless, model, own)
        conditions = replace(conditions, interaction=task.interaction)
        weight = (self.cell.mask_loss if self.cell else MaskLoss.NONE).weight(progress)
        return batch_losses(model, self.material, Noisy(chosen, sigma, noise, conditions), task, weight)

    def _draw_task(self, random: np.random.Generator, progress: float) -> Task:
        """Draw the task of a step; the same draws are taken whatever the cell."""
        off, point = random.random() < OFF_SHARE, random.random()
        if self.cell is None:
            return replace(JOINT, interaction=Interaction.OFF)
        shares = np.cumsum([task.share for task in TASKS])
        task = TASKS[int(np.searchsorted(shares / shares[-1], point))] if progress >= self.cell.tasks_from else JOINT
        return replace(task, interaction=Interaction.OFF) if off and task is JOINT else task

    def _with_voices(
        self,
        conditions: Conditions,
        chosen: Sequence[int],
        textless: Sequence[bool],
        model: JointModel,
        own: Sequence[np.random.Generator],
    ) -> Conditions:
        """The same with another clip of each speaker as its reference voice."""
        voices, texts = self.material.voices, self.material.transcripts
        others = [
            int(random.choice(np.flatnonzero(voices == voices[i]))) for i, random in zip(chosen, own, strict=True)
        ]
        words = [
            SpokenText(None if dropped else str(texts[i]), 0.0, str(texts[other]))
            for i, other, dropped in zip(chosen, others, textless, strict=True)
        ]
        mel = self.material.tensor("mel", others)
        speech = speech_tensors(words, model.config.text, mel.shape[1])
        return replace(conditions, reference_audio=mel, **speech)


def batch_losses(
    model: JointModel, material: Material, noisy: Noisy, task: Task, mask_weight: float
) -> Mapping[str, Tensor]:
    """Losses of one batch, by name: ``video``, ``audio``, ``mask`` and ``loss``, their weighted sum."""
    video, mel = material.tensor("video", noisy.chosen), material.tensor("mel", noisy.chosen)
    face, mouth = material.tensor("face", noisy.chosen), material.tensor("mouth", noisy.chosen)
    video_kept, audio_kept = kept_parts(task, video.shape[2], mel.shape[1], len(video))
    levels = noisy.sigma[:, None] * ~video_kept, noisy.sigma[:, None] * ~audio_kept
    mixed = (
        mix(video, noisy.noise[0], levels[0][:, None, :, None, None]),
        mix(mel, noisy.noise[1], levels[1][..., None]),
    )
    times = tuple(TIMESTEPS * level for level in levels)
    output = model(*mixed, times, noisy.conditions, (video_kept, audio_kept))
    weight = (1 + FACE_WEIGHT * torch.maximum(face, mouth)) * ~video_kept[..., None, None]
    video_loss = velocity_loss(output.video, noisy.noise[0] - video, weight[:, None])
    audible = (~audio_kept).float()[..., None]
    audio_loss = velocity_loss(output.audio, noisy.noise[1] - mel, audible) * audible.mean()
    shares = F.avg_pool2d(face, model.config.patch_size).flatten(2)
    mask_loss = face_mask_loss(output.face_masks, shares)
    loss = video_loss + audio_loss + mask_weight * mask_loss
    return {"loss": loss, "video": video_loss, "audio": audio_loss, "mask": mask_loss}


def kept_parts(task: Task, latents: int, mel_frames: int, count: int) -> tuple[Tensor, Tensor]:
    """Which latents, bool (B, T), and which mel frames, bool (B, S), are given."""
    given = latents if task.latents < 0 else task.latents
    heard = int(video_frames_of(given) / FPS * MEL_RATE) if task.sound else 0
    heard = mel_frames if task.whole_sound else heard
    return (torch.arange(latents) < given).expand(count, -1), (torch.arange(mel_frames) < heard).expand(count, -1)
