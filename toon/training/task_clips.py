"""Clips of toons for the five tasks and two faces, in memory: the clips drawn, the parts kept and the texts given.

Dimension key: B batch, K audio tracks, T latent frames, H and W latent rows and columns, S mel frames, R mel frames of
a reference voice, L characters.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from uniavgen_core.config import TextConfig
from uniavgen_core.media.audio.mel import silent_mel
from uniavgen_core.media.audio.reference_voice import SILENCE_FRAMES
from uniavgen_core.model.face_mask import FaceSteering
from uniavgen_core.model.joint import Conditions
from uniavgen_core.tasks import Keep
from uniavgen_core.text.speech_tensors import SpokenText, speech_tensors
from uniavgen_core.text.tokenize import join_reference
from uniavgen_core.training.flow_matching import CleanClips, without_picture

from ..clips.speech import Emotion
from .clip_shards import VOICE_FRAMES, Row, ShardPlan, caption_tensor, longest_text, read_shards, tensor_of
from .toon_tasks import PAIR, ToonSample, ToonTaskConfig

LEAD, TAIL = 8, 4
"""Mel frames of silence that certainly lie before the first sound of a sentence, and after its last."""


class Each:
    """Draws of several examples at once, each from its own generator, and each for ``tracks`` rows."""

    def __init__(self, own: Sequence[np.random.Generator], tracks: int = 1) -> None:
        self.own = own
        self.tracks = tracks

    def random(self, *shape: int) -> np.ndarray:
        """Uniform in [0, 1), (B * K, *shape)."""
        return np.concatenate([random.random((self.tracks, *shape)) for random in self.own])

    def uniform(self, low: float, high: float, *shape: int) -> np.ndarray:
        """Uniform in [low, high), (B * K, *shape)."""
        return low + (high - low) * self.random(*shape)

    def choice(self, options: np.ndarray) -> np.ndarray:
        """One of some options, (B * K,)."""
        picked = [random.integers(len(options), size=self.tracks) for random in self.own]
        return options[np.concatenate(picked)]


class TaskClips:
    """Scenes, pairs and voices, and clips drawn from them; a ``TrainingClips``.

    Args:
        plans: By kind, ``scenes``, ``pairs`` and ``voices``; of scenes one plan for each length, of the others one.
        config: Tasks and losses.
        text: Placement of characters.
    """

    def __init__(self, plans: Mapping[str, Sequence[ShardPlan]], config: ToonTaskConfig, text: TextConfig) -> None:
        self.lengths = [read_shards(plan) for plan in plans["scenes"]]
        (self.pairs,), (self.voices,) = ([read_shards(plan) for plan in plans[kind]] for kind in ("pairs", "voices"))
        counts = np.array([len(rows["mel"]) for rows in self.lengths])
        self.shares = counts / counts.sum()
        self.config = config
        self.text = text
        self.silence = silent_mel().numpy()
        self.lone = (self.pairs["transcript"] != "").sum(1) == 1
        spoken = np.concatenate([*(rows["transcript"] for rows in self.lengths), self.pairs["transcript"].ravel()])
        self.longest = longest_text(spoken)
        self.longest_with_voice = (
            self.longest + longest_text(self.voices["transcript"]) + len(join_reference("a", "")) - 1
        )

    def draw_clips(
        self, sample: ToonSample, shared: np.random.Generator, own: Sequence[np.random.Generator]
    ) -> CleanClips:
        """Draw a clip of a task for each generator in ``own``."""
        if sample.task.name == PAIR.name:
            clips = self._pairs(sample, own)
        else:
            several = len(self.lengths) > 1
            length = shared.choice(len(self.lengths), p=self.shares) if several else 0
            clips = self._scenes(self.lengths[length], sample, own)
        return without_picture(clips) if sample.audio_alone else clips

    def _scenes(self, rows: Row, sample: ToonSample, own: Sequence[np.random.Generator]) -> CleanClips:
        continued, each = sample.task.video is Keep.START, Each(own)
        known = rows["fits"] | sample.has_voice | (sample.task.audio is Keep.ALL)
        chosen = each.choice(np.flatnonzero(((rows["kept_latents"] > 0) == continued) & known))
        start, end = rows["start"][chosen], rows["end"][chosen]
        mel, kept = self._kept_sound(sample, rows["mel"][chosen].astype(np.float32), (start, end), each)
        video = tensor_of(rows["video"], chosen)
        latents = np.where(continued, rows["kept_latents"][chosen], 1)
        if sample.task.video is Keep.ALL:
            latents[:] = video.shape[2]
        textless = each.random() < sample.text_dropout
        texts = np.where(textless, None, rows["transcript"][chosen].astype(object))
        speech = self._speech(sample, texts, start, rows["voice"][chosen], each)
        captions = np.where(textless, "", rows["caption"][chosen].astype(object))
        return CleanClips(
            video=video,
            audio=torch.from_numpy(mel),
            video_keep_mask=self._around(rows, chosen, each)
            if sample.task.video is Keep.AROUND
            else torch.arange(video.shape[2]) < torch.from_numpy(latents)[:, None],
            audio_keep_mask=torch.from_numpy(kept),
            face=tensor_of(rows["face"], chosen),
            mouth=tensor_of(rows["mouth"], chosen),
            eyes=tensor_of(rows["eyes"], chosen),
            conditions=Conditions(
                caption=caption_tensor(list(captions)),
                **speech,
                reference_image=tensor_of(rows["reference"], chosen) if continued else video[:, :, :1],
                interaction=sample.interaction,
            ),
        )

    def _around(self, rows: Row, chosen: np.ndarray, each: Each) -> Tensor:
        """Mask of the latent pixels around the mouth or the face, bool, (B, T, H, W)."""
        draws = torch.from_numpy(each.random(2).T)
        mouth, face = (tensor_of(rows[name], chosen) for name in ("mouth", "face"))
        return around(mouth, face, draws[0] < self.config.whole_face, draws[1] < self.config.still_mask)

    def _pairs(self, sample: ToonSample, own: Sequence[np.random.Generator]) -> CleanClips:
        rows, tracks, count = self.pairs, sample.tracks, len(own)
        each, track = Each(own), Each(own, tracks)
        chosen = each.choice(np.flatnonzero(self.lone) if tracks == 1 else np.arange(len(self.lone)))
        speaker = (rows["transcript"][chosen, 1] != "") & (rows["transcript"][chosen, 0] == "")
        first = speaker.astype(int) if tracks == 1 else each.choice(np.arange(2))
        sides = np.stack([first, 1 - first], 1)[:, :tracks]
        clip, side = np.repeat(chosen, tracks), sides.ravel()
        video, start, end = tensor_of(rows["video"], chosen), rows["start"][clip, side], rows["end"][clip, side]
        mel, kept = self._kept_sound(sample, rows["mel"][clip, side].astype(np.float32), (start, end), track)
        textless = each.random() < sample.text_dropout
        texts = rows["transcript"][clip, side].astype(object)
        texts = np.where(np.repeat(textless, tracks) | (texts == ""), None, texts)
        speech = self._speech(sample, texts, start, rows["voice"][clip, side], track)
        one_sided = self.lone[chosen] & (each.random() < self.config.one_sided_caption)
        captions = np.where(textless, "", rows["caption"][chosen, one_sided.astype(int)].astype(object))
        mask = tensor_of(rows["face"], clip, side).unflatten(0, (count, tracks))
        return CleanClips(
            video=video,
            audio=torch.from_numpy(mel),
            video_keep_mask=(torch.arange(video.shape[2]) == 0).repeat(count, 1),
            audio_keep_mask=torch.from_numpy(kept),
            face=tensor_of(rows["face"], chosen).amax(1),
            mouth=tensor_of(rows["mouth"], chosen).amax(1),
            eyes=tensor_of(rows["eyes"], chosen).amax(1),
            conditions=Conditions(
                caption=caption_tensor(list(captions)),
                **speech,
                reference_image=video[:, :, :1],
                interaction=sample.interaction,
                steering=FaceSteering(self._drawn_by_hand(mask, sides, each.random())),
            ),
        )

    def _kept_sound(
        self, sample: ToonSample, mel: np.ndarray, times: tuple[np.ndarray, np.ndarray], each: Each
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mel (B * K, S, 80) with silence written in, and which frames are kept, bool, (B * K, S)."""
        config = self.config
        start, end = (time[:, None] for time in times)
        frames, chance = np.arange(mel.shape[1]), each.random(4, 1).swapaxes(0, 1)
        silent = end == 0
        before = (frames < np.where(silent, len(frames), np.floor(start))) & (chance[0] < config.silence_before)
        after = (frames >= end + each.uniform(TAIL, config.latest_cut, 1)) & (chance[1] < config.silence_after)
        kept = before | (after & ~silent)
        if sample.task.video is Keep.START:
            return mel, frames < np.floor(start)
        if sample.task.audio is Keep.ALL:
            lead = np.where(chance[3] < config.lead, each.uniform(*config.lead_frames, 1), len(frames))
            kept = frames < lead
            quiet = (frames < start + LEAD) | (frames >= end + TAIL)
        elif sample.task.video is Keep.ALL:
            return mel, np.zeros_like(kept)
        else:
            quiet = np.ones_like(kept)
        empty = kept & quiet & (chance[2] < config.digital_silence)
        return np.where(empty[..., None], self.silence, mel), kept

    def _speech(
        self, sample: ToonSample, texts: np.ndarray, start: np.ndarray, voice: np.ndarray, each: Each
    ) -> Mapping[str, Any]:
        """Fields of ``Conditions`` with speech texts and reference voices."""
        if not sample.has_voice:
            words = [SpokenText(*pair) for pair in zip(texts, start, strict=True)]
            return speech_tensors(words, self.text, 0, self.longest)
        rows, length = self.voices, VOICE_FRAMES[sample.voice_length] + SILENCE_FRAMES
        fit = rows["frames"] == length
        alike = len(Emotion) if sample.task.video is Keep.ALL and self.config.any_emotion_in_dubbing else 1
        options = [np.flatnonzero(fit & (rows["voice"] // alike == one // alike)) for one in voice]
        if not all(map(len, options)):
            raise ValueError(
                f"A voice has no reference of {VOICE_FRAMES[sample.voice_length]} mel frames; make more voices."
            )
        points = each.random(2)
        picked = np.array([some[int(point * len(some))] for some, point in zip(options, points[:, 0], strict=True)])
        told = points[:, 1] >= self.config.voice_without_text
        spoken = np.where(told, rows["transcript"][picked].astype(object), "")
        words = [SpokenText(*triple) for triple in zip(texts, start, spoken, strict=True)]
        mel = tensor_of(rows["mel"], picked)[:, :length]
        return {**speech_tensors(words, self.text, length, self.longest_with_voice), "reference_audio": mel}

    def _drawn_by_hand(self, mask: Tensor, sides: np.ndarray, kind: np.ndarray) -> Tensor:
        """Masks (B, K, T, H, W) of which some stand still, and some cover half the picture, as users draw them."""
        still = torch.from_numpy(kind < self.config.still_mask)[:, None, None, None, None]
        mask = torch.where(still, mask.amax(2, keepdim=True), mask)
        right = torch.arange(mask.shape[-1]) >= mask.shape[-1] // 2
        half = (right == torch.from_numpy(sides)[:, :, None, None, None].bool()).float().expand_as(mask)
        return torch.where(torch.from_numpy(kind > 1 - self.config.half_mask)[:, None, None, None, None], half, mask)


def around(mouth: Tensor, face: Tensor, whole: Tensor, still: Tensor) -> Tensor:
    """Mask of what is kept around a region that gets new lips.

    Args:
        mouth: Share of mouth in each latent pixel, (B, T, H, W).
        face: Share of face.
        whole: Whether the region is the face, bool, (B,); else it is the mouth and the latent pixels beside it.
        still: Whether it is where the region is at any time of the clip, bool, (B,).

    Returns:
        True for latent pixels that are kept, bool, (B, T, H, W).
    """
    whole, still = (flags[:, None, None, None] for flags in (whole, still))
    region = torch.where(whole, face, F.max_pool2d(mouth, 3, 1, 1)) > 0
    return ~torch.where(still, region.any(1, keepdim=True), region)
