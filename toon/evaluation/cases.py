"""Held-out cases of the five tasks and of two faces, each with its ground truth.

Dimension key: F video frames, H picture height, W picture width, S mel frames, R mel frames of a reference voice.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from uniavgen_core.config import Interaction
from uniavgen_core.media.audio.mel import normalized_mel, silent_mel
from uniavgen_core.shapes import MEL_RATE, SAMPLE_RATE
from uniavgen_core.text.speech_tensors import SpokenText

from ..clips import VOICES, ToonPair, ToonScene, ToonSpeech, make_pair, make_scene, make_speech

VOICE_SEED = 500_000
SILENCE_SECONDS = 0.3
TASKS = (
    "joint", "voice", "voice, not told", "driven", "dubbing", "continuation", "continuation with voice", "late", "pair",
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One clip to generate, with its ground truth.

    Attributes:
        frames: True pictures, (F, H, W, 3) uint8.
        mel: True normalised mel, (S, 80); silence where silence is kept.
        latents_kept: Latents kept from the start.
        sound_kept: Mel frames that are kept, bool, (S,).
        reference: Reference picture, (H, W, 3) uint8.
        caption: What is seen.
        words: What is said and when.
        interaction: Directions that run.
        voice: Number of the voice that should be heard.
        emotion: The one the caption asks for, of ``Emotion``.
        movement: The head's, one of ``MOVEMENTS``.
        mouths: Centre, pixels (F, 2), and head radius of the mouth that speaks, then of the one that does not.
        spoken: Reference voice, or None.
        mask: Face mask of the speaker, (F, H, W), or None.
    """

    frames: np.ndarray
    mel: Tensor
    latents_kept: int
    sound_kept: Tensor
    reference: np.ndarray
    caption: str
    words: SpokenText
    interaction: Interaction
    voice: int
    emotion: int
    movement: str
    mouths: tuple[tuple[np.ndarray, float], ...]
    spoken: ToonSpeech | None = None
    mask: np.ndarray | None = None


def voice_mel(speech: ToonSpeech) -> Tensor:
    """Normalised mel of a reference voice and its silence, (R, 80)."""
    silence = np.zeros(round(SILENCE_SECONDS * SAMPLE_RATE), np.float32)
    return normalized_mel(torch.from_numpy(np.concatenate([speech.waveform, silence])))


def case_of(scene: ToonScene, interaction: Interaction = Interaction.BOTH) -> Case:
    """Joint generation of a scene: its first latent kept, no sound kept."""
    clip = scene.clip
    mel = normalized_mel(torch.from_numpy(clip.waveform))
    return Case(
        frames=clip.frames,
        mel=mel,
        latents_kept=1,
        sound_kept=torch.zeros(len(mel), dtype=torch.bool),
        reference=scene.earlier,
        caption=clip.caption,
        words=SpokenText(clip.transcript, MEL_RATE * scene.start),
        interaction=interaction,
        voice=clip.voice,
        emotion=clip.emotion,
        movement=clip.movement,
        mouths=((clip.mouth_center, clip.face_radius),),
    )


def with_voice(case: Case, speech: ToonSpeech, told: bool = True) -> Case:
    """The same case with a reference voice, whose transcript is told or not."""
    words = replace(case.words, voice_text=speech.transcript if told else "")
    return replace(case, spoken=speech, words=words, voice=speech.voice)


def driven(scene: ToonScene) -> Case:
    """Audio-driven video: all sound is kept."""
    case = case_of(scene, Interaction.AUDIO_TO_VIDEO)
    return replace(case, sound_kept=~case.sound_kept)


def dubbed(scene: ToonScene) -> Case:
    """Dubbing: all video is kept."""
    return replace(case_of(scene, Interaction.VIDEO_TO_AUDIO), latents_kept=len(scene.clip.frames) // 4 + 1)


def continued(scene: ToonScene) -> Case:
    """Continuation: both modalities are kept up to the sentence."""
    case = case_of(scene)
    kept = torch.arange(len(case.mel)) < int(case.words.start)
    return replace(case, latents_kept=scene.kept_latents, sound_kept=kept)


def late(scene: ToonScene) -> Case:
    """A sentence that begins later, with digital silence kept before it."""
    case = case_of(scene)
    kept = torch.arange(len(case.mel)) < int(case.words.start)
    return replace(case, sound_kept=kept, mel=torch.where(kept[:, None], silent_mel(), case.mel))


def paired(pair: ToonPair) -> Case:
    """Two faces: the speaker is chosen by its mask; the other one has no track."""
    side = pair.speakers[0]
    clip = pair.clips[side]
    scene = ToonScene(clip, pair.starts[side], pair.ends[side], pair.frames[0], 0, True)
    mouths = [(pair.mouth_center(one), pair.clips[one].face_radius) for one in (side, 1 - side)]
    return replace(
        case_of(scene),
        frames=pair.frames,
        caption=pair.caption,
        mouths=tuple(mouths),
        mask=pair.face_mask(side),
    )


def scenes(count: int, first_seed: int, wanted: Callable[[ToonScene], bool]) -> list[ToonScene]:
    """First held-out scenes from a seed that satisfy a predicate."""
    found = (scene for scene in (make_scene(seed, "held_out") for seed in itertools.count(first_seed)) if wanted(scene))
    return list(itertools.islice(found, count))


def lone_pairs(count: int, first_seed: int) -> list[ToonPair]:
    """First held-out pairs with a single speaker, alternately the left and the right toon."""
    found: tuple[list[ToonPair], list[ToonPair]] = ([], [])
    for seed in itertools.count(first_seed):
        if min(map(len, found)) * 2 >= count:
            break
        pair = make_pair(seed, "held_out")
        if len(pair.speakers) == 1:
            found[pair.speakers[0]].append(pair)
    return [pair for both in zip(*found, strict=False) for pair in both][:count]


def cases_of(task: str, count: int, first_seed: int = 0) -> list[Case]:
    """Held-out cases of one task; a smaller count gives a prefix of a larger one.

    Args:
        task: One of ``TASKS``.
        count: How many.
        first_seed: Where the search for fitting scenes begins.

    Returns:
        The cases.
    """
    if task == "pair":
        return [paired(pair) for pair in lone_pairs(count + count % 2, first_seed)][:count]
    if task.startswith("continuation"):
        found = [continued(scene) for scene in scenes(count, first_seed, lambda scene: scene.kept_latents > 0)]
        if task == "continuation":
            return found
        return [with_voice(case, _speech(first_seed + i, case.voice)) for i, case in enumerate(found)]
    is_late = task == "late"
    plain = scenes(
        count, first_seed, lambda scene: scene.kept_latents == 0 and scene.fits and (scene.start > 0) == is_late
    )
    if task in ("voice", "voice, not told"):
        joint = [case_of(scene, Interaction.AUDIO_TO_VIDEO) for scene in plain]
        told = task == "voice"
        return [with_voice(case, _speech(first_seed + i, i % len(VOICES)), told) for i, case in enumerate(joint)]
    make = {"joint": case_of, "driven": driven, "dubbing": dubbed, "late": late}[task]
    return [make(scene) for scene in plain]


def _speech(seed: int, voice: int) -> ToonSpeech:
    """Reference voice: a held-out sentence in a given voice."""
    return make_speech(VOICE_SEED + seed, split="held_out", voice=voice)
