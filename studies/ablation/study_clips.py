"""Clips of the study, made once, and batches of them that do not depend on the cell.

Dimension key: B batch, T latent frames, H and W latent rows and columns, S mel frames.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from toon.clips import ToonClip, make_clip, make_speech
from toon.training.clip_shards import ShardPlan, caption_tensor, clip_row, read_shards, tensor_of, write_shards
from uniavgen_core.bundled.bundled_files import BUNDLED_VIDEO_CODEC
from uniavgen_core.config import TextConfig
from uniavgen_core.model.joint import Conditions
from uniavgen_core.text.speech_tensors import SpokenText, speech_tensors

from .cells import CLIP_SEED, HELD_OUT_SEED, Study


@dataclass(frozen=True)
class Material:
    """Coded clips in memory.

    Attributes:
        video: Latents, (clips, 48, T, H, W).
        mel: Normalised mel, (clips, S, 80).
        face: Share of face in each latent pixel, (clips, T, H, W).
        mouth: Share of mouth, (clips, T, H, W).
        voices: Who speaks, (clips,).
    """

    video: np.ndarray
    mel: np.ndarray
    face: np.ndarray
    mouth: np.ndarray
    transcripts: np.ndarray
    captions: np.ndarray
    voices: np.ndarray

    def __len__(self) -> int:
        return len(self.mel)

    def tensor(self, name: str, chosen: Sequence[int]) -> Tensor:
        """Some clips' arrays, float32."""
        return tensor_of(getattr(self, name), np.array(chosen))

    def conditions(self, chosen: Sequence[int], textless: Sequence[bool], text: TextConfig) -> Conditions:
        """Texts, or their nulls, and reference images of some clips."""
        told = [None if dropped else str(self.transcripts[i]) for i, dropped in zip(chosen, textless, strict=True)]
        seen = [None if dropped else str(self.captions[i]) for i, dropped in zip(chosen, textless, strict=True)]
        return Conditions(
            caption=caption_tensor(seen),
            **speech_tensors([SpokenText(words) for words in told], text),
            reference_image=self.tensor("video", chosen)[:, :, :1],
        )


def plan(study: Study, work: Path, held_out: bool) -> ShardPlan:
    """Clips of the study and the folder of their shards."""
    if held_out:
        return ShardPlan(work / "held_out", study.held_out, "held_out", study.video_frames, HELD_OUT_SEED)
    return ShardPlan(work / "clips", study.clips, "train", study.video_frames, CLIP_SEED)


def make_material(study: Study, work: Path, workers: int) -> None:
    """Make the clips that are missing."""
    for held_out in (True, False):
        wanted = plan(study, work, held_out)
        write_shards(wanted, clip_row, BUNDLED_VIDEO_CODEC, workers)
        voices = wanted.folder / "voices.npy"
        if not voices.exists():
            seeds = range(wanted.first_seed, wanted.first_seed + wanted.count)
            np.save(voices, [make_speech(seed, wanted.video_frames, wanted.split).voice for seed in seeds])


def load_material(study: Study, work: Path, held_out: bool) -> Material:
    """Read the clips that ``make_material`` made."""
    wanted = plan(study, work, held_out)
    arrays = read_shards(wanted)
    names = ("video", "mel", "face", "mouth", "transcript", "caption")
    return Material(*(arrays[name] for name in names), np.load(wanted.folder / "voices.npy"))


def held_out_clips(study: Study) -> list[ToonClip]:
    """The clips that are measured, as pictures and sounds."""
    seeds = range(HELD_OUT_SEED, HELD_OUT_SEED + study.held_out)
    return [make_clip(seed, study.video_frames, split="held_out") for seed in seeds]
