"""Batches and losses of the study; clips, noise and noise levels are the same for every cell of a seed.

Dimension key: B batch, T latent frames, S mel frames.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from uniavgen_core.config import Interaction, TextConfig
from uniavgen_core.model.joint import Conditions
from uniavgen_core.shapes import FPS, MEL_RATE, video_frames_of
from uniavgen_core.tasks import AUDIO_DRIVEN, CONTINUATION, DUBBING, JOINT, REFERENCE_VOICE, Keep, Task
from uniavgen_core.text.speech_tensors import SpokenText, speech_tensors
from uniavgen_core.training.batch_part import Objective, Part
from uniavgen_core.training.flow_matching import (
    Batch,
    CleanClips,
    LossWeights,
    batch_error,
    draw_noise,
    flow_matching_losses,
)
from uniavgen_core.training.task_sampling import LogitNormal, sample_sigmas

from .cells import Cell, MaskLoss
from .study_clips import Material

OFF_SHARE, NULL_WITH_OFF, TEXT_DROPOUT = 0.15, 0.5, 0.1
"""Share of steps with the interaction off, share of their clips without texts, and of all other clips; as for toons."""
FACE_WEIGHT = 2.0
LEVELS = LogitNormal()
STUDY_TASKS = (JOINT, REFERENCE_VOICE, CONTINUATION, DUBBING, AUDIO_DRIVEN)
"""In the order in which shares are drawn from, 4:1:1:2:2 as in the paper."""
PREFIX_LATENTS = 3
"""Latents that continuation keeps."""


@dataclass(frozen=True)
class CellBatches(Dataset[Batch]):
    """Batches of one cell by ``Part``; everything random comes from (seed, step, example).

    Attributes:
        material: Clips to draw from.
        text: The model's text settings.
        seed: Seed of all draws.
        cell: The cell; None for both branches side by side.
    """

    material: Material
    text: TextConfig
    seed: int
    cell: Cell | None

    def __getitem__(self, part: Part) -> Batch:
        """Draw the clips, texts, noise levels and noise of one step."""
        task, interaction = self._draw_task(part.shared(self.seed), part.progress)
        own = part.own(self.seed)
        chosen = [int(random.integers(len(self.material))) for random in own]
        sigma = sample_sigmas(LEVELS, own)
        dropped = NULL_WITH_OFF if self.cell and interaction is Interaction.OFF else TEXT_DROPOUT
        textless = [bool(random.random() < dropped) for random in own]
        noise = tuple(draw_noise(self.material.tensor(name, chosen), own) for name in ("video", "mel"))
        conditions = self.material.conditions(chosen, textless, self.text)
        if task.reference_voice:
            conditions = self._with_voices(conditions, chosen, textless, own)
        clips = clips_of_task(self.material, chosen, replace(conditions, interaction=interaction), task)
        return Batch(clips, sigma, *noise, task=task.name)

    def _draw_task(self, random: np.random.Generator, progress: float) -> tuple[Task, Interaction]:
        """Draw the task of a step and its directions; the same draws are taken whatever the cell."""
        off, point = random.random() < OFF_SHARE, random.random()
        if self.cell is None:
            return JOINT, Interaction.OFF
        shares = np.cumsum([task.share for task in STUDY_TASKS])
        drawn = STUDY_TASKS[int(np.searchsorted(shares / shares[-1], point))]
        task = drawn if progress >= self.cell.tasks_from else JOINT
        return task, Interaction.OFF if off and task is JOINT else task.interaction

    def _with_voices(
        self,
        conditions: Conditions,
        chosen: Sequence[int],
        textless: Sequence[bool],
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
        return replace(conditions, reference_audio=mel, **speech_tensors(words, self.text, mel.shape[1]))


def cell_objective(material: Material, text: TextConfig, seed: int, cell: Cell | None) -> Objective:
    """Objective of the training of a cell."""
    mask_loss = cell.mask_loss if cell else MaskLoss.NONE
    return Objective(CellBatches(material, text, seed, cell), partial(_losses, mask_loss))


def _losses(mask_loss: MaskLoss, model: nn.Module, batch: Batch, progress: float) -> Mapping[str, Tensor]:
    return study_losses(model, batch, mask_loss.weight(progress))


def study_losses(model: nn.Module, batch: Batch, mask_weight: float) -> Mapping[str, Tensor]:
    """Losses of a batch by name; means run over all places of the batch, as in the published runs of the study."""
    return flow_matching_losses(model, batch, LossWeights(FACE_WEIGHT, mask_weight), batch_error)


def clips_of_task(material: Material, chosen: Sequence[int], conditions: Conditions, task: Task) -> CleanClips:
    """Some clips with the parts that a task keeps."""
    video, audio, face, mouth = (material.tensor(name, chosen) for name in ("video", "mel", "face", "mouth"))
    return CleanClips(
        video, audio, *keep_masks(task, video.shape[2], audio.shape[1], len(video)), face, mouth, conditions
    )


def keep_masks(task: Task, latents: int, mel_frames: int, count: int) -> tuple[Tensor, Tensor]:
    """Latents, bool (B, T), and mel frames, bool (B, S), that a task keeps."""
    kept_latents = {Keep.FIRST: 1, Keep.START: PREFIX_LATENTS, Keep.ALL: latents}[task.video]
    start = int(video_frames_of(kept_latents) / FPS * MEL_RATE)
    kept_mel = {Keep.NOTHING: 0, Keep.START: start, Keep.ALL: mel_frames}[task.audio]
    return (
        (torch.arange(latents) < kept_latents).expand(count, -1),
        (torch.arange(mel_frames) < kept_mel).expand(count, -1),
    )
