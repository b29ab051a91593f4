"""Training data of the judges: speech and faces of toons, from seeds that nothing else uses.

Dimension key: B clips, F pictures of a clip, M mel frames, H picture height, W picture width.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from uniavgen_core.media.audio.mel import log_mel, normalized_mel
from uniavgen_core.shapes import FPS, HOP_LENGTH, MEL_RATE, SAMPLE_RATE, TEMPORAL_FACTOR

from ..clips import LIVELY, STEADY, VOICES, Emotion, ToonSpeech, make_clip, recite
from ..clips.delivery import draw_delivery
from ..clips.scene import VIDEO_FRAMES
from ..clips.speech import draw_line
from ..clips.world import World
from .played_sound import played_sounds

JUDGE_SEED = 5_000_000
HELD_OUT_SEED = 5_500_000
SILENT = -9.0
"""Log-mel value that replaces kept sound in the judges' input."""
_STREAM = 5
_PLAIN, _LATER = 0.4, 0.3
_MASKED = 0.5
_WORLDS = (STEADY, LIVELY)
_PLAYED = 8 * len(_WORLDS)
"""Seeds of which the first of each world is played; no more, because vocoding takes twenty times as long as speech."""
_LATEST_SECONDS = 1.0
_KEPT_LATENTS = (2, 5)
_PAUSE_SECONDS = (0.05, 0.5)
_FACE_FRAMES, _FACES_A_CLIP, _FACE_SIDE = 17, 6, 64
Drawn = tuple[Tensor, ToonSpeech, list[tuple[float, float]]]
"""Log-mel (80, M), speech, and the span of each word."""


@dataclass(frozen=True)
class Sounds:
    """Speech with its labels.

    Attributes:
        mels: Log-mels, natural logarithm, not normalised, (B, 80, M).
        transcripts: Transcripts.
        voices: Index of each voice, long, (B,).
        emotions: Each emotion, one of ``Emotion``, long, (B,).
        spans: Span of each word of each transcript, mel frames.
    """

    mels: Tensor
    transcripts: list[str]
    voices: Tensor
    emotions: Tensor
    spans: list[list[tuple[float, float]]]


def world_in_turn(seed: int) -> World:
    """World of the toon with this seed, so that half of the judges' data are of either."""
    return _WORLDS[seed % len(_WORLDS)]


def draw_sounds(first_seed: int, count: int, split: str = "train") -> Sounds:
    """Generate speech of 33 frames that begins immediately, later, or after the silenced end of another sentence.

    Every second sound is of the lively world, and an eighth of either world's are vocoded and from an AAC file, as a
    generated clip's are.

    Args:
        first_seed: Seed of the first sound; the others follow.
        count: Number of sounds.
        split: Split of the sentences, ``train`` or ``held_out``.

    Returns:
        The sounds.
    """
    drawn = [_draw_sound(first_seed + i, split) for i in range(count)]
    mels, speeches, spans = zip(*drawn, strict=True)
    voices, emotions = (torch.tensor([getattr(speech, name) for speech in speeches]) for name in ("voice", "emotion"))
    return Sounds(torch.stack(mels), [speech.transcript for speech in speeches], voices, emotions, list(spans))


def _draw_sound(seed: int, split: str) -> Drawn:
    """Generate one sound."""
    rng = np.random.default_rng((seed, _STREAM))
    voice, emotion, kind = int(rng.integers(len(VOICES))), int(rng.integers(len(Emotion))), rng.random()
    if kind >= _PLAIN + _LATER:
        return _continued(rng, (voice, emotion, seed), split)
    start, world = float(rng.uniform(0, _LATEST_SECONDS)) if kind >= _PLAIN else 0.0, world_in_turn(seed)
    delivery = draw_delivery(rng, world)
    line = draw_line(rng, start, VIDEO_FRAMES - int(start * FPS), split, delivery, world)
    speech = recite([line], voice, emotion, VIDEO_FRAMES, seed, delivery)
    silenced = start if rng.random() < _MASKED else 0.0
    return _mel_from(speech.waveform, silenced, seed), speech, _spans(speech.letter_seconds, line.transcript)


def _continued(rng: np.random.Generator, speaker: tuple[int, int, int], split: str) -> Drawn:
    """Generate a sentence after the silenced end of another one, as in continuation."""
    (voice, emotion, seed), world = speaker, world_in_turn(speaker[2])
    frames = TEMPORAL_FACTOR * (int(rng.integers(_KEPT_LATENTS[0], _KEPT_LATENTS[1] + 1)) - 1) + 1
    delivery, rooms = draw_delivery(rng, world), (VIDEO_FRAMES - frames, VIDEO_FRAMES)
    line, before = (draw_line(rng, 0.0, room, split, delivery, world) for room in rooms)
    end = recite([before], voice, emotion, 2 * VIDEO_FRAMES, 0, delivery).end + rng.uniform(*_PAUSE_SECONDS)
    first, sentence = max(0, int(np.ceil(end * FPS)) - frames), line.transcript
    lines = [before, replace(line, start=(first + frames) / FPS)]
    speech = recite(lines, voice, emotion, first + VIDEO_FRAMES, seed, delivery)
    letters = speech.letter_seconds[-len(sentence) :] - first / FPS
    mel = _mel_from(speech.waveform[first * SAMPLE_RATE // FPS :], frames / FPS, seed)
    return mel, replace(speech, transcript=sentence), _spans(letters, sentence)


def _spans(letter_seconds: np.ndarray, sentence: str) -> list[tuple[float, float]]:
    """Span of each word in mel frames, from the times of the sentence's letters, (characters,)."""
    spans, first = [], 0
    for word in sentence.split():
        last = first + len(word) - 1
        spans.append((MEL_RATE * float(letter_seconds[first]), MEL_RATE * float(letter_seconds[last])))
        first = last + 2
    return spans


def _mel_from(waveform: np.ndarray, silenced_seconds: float, seed: int) -> Tensor:
    """Log-mel with a silenced beginning, (80, M), of a sound, or of some seeds of what is played of its mel."""
    sound = torch.from_numpy(waveform)
    mel = log_mel(played_sounds(normalized_mel(sound)[None])[0] if seed % _PLAYED < len(_WORLDS) else sound)
    mel[:, : int(silenced_seconds * SAMPLE_RATE / HOP_LENGTH)] = SILENT
    return mel


def draw_faces(first_seed: int, count: int, split: str = "train") -> tuple[Tensor, Tensor]:
    """Generate pictures of speaking faces, of the steady and the lively world in turn.

    Args:
        first_seed: Seed of the first clip; the others follow.
        count: Number of clips.
        split: ``train`` or ``held_out``.

    Returns:
        Pictures in [0, 1], (B, F, 3, 64, 64), and the emotion of each clip, long, (B,).
    """
    seeds = range(first_seed, first_seed + count)
    clips = [make_clip(seed, _FACE_FRAMES, split=split, world=world_in_turn(seed)) for seed in seeds]
    every = np.linspace(0, _FACE_FRAMES - 1, _FACES_A_CLIP).round().astype(int)
    pictures = torch.stack([small_faces(clip.frames[every]) for clip in clips])
    return pictures, torch.tensor([clip.emotion for clip in clips])


def small_faces(frames: np.ndarray) -> Tensor:
    """Downscale square pictures for the judge of faces.

    Args:
        frames: RGB, (F, H, W, 3) uint8.

    Returns:
        Pictures in [0, 1], (F, 3, 64, 64).
    """
    pictures = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float() / 255
    return torch.nn.functional.interpolate(pictures, size=(_FACE_SIDE, _FACE_SIDE), mode="area")
