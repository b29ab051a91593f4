"""Held-out cases of the five tasks and of two faces, each with the truth it is judged by.

Dimension key: F video frames, H picture height, W picture width, S mel frames, R mel frames of a reference voice.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from uniavgen_core.config import Interaction
from uniavgen_core.media.audio.mel import normalized_mel
from uniavgen_core.shapes import MEL_RATE, SAMPLE_RATE, TEMPORAL_FACTOR
from uniavgen_core.tasks import CONTINUATION, JOINT, PAPER_TASKS, REFERENCE_VOICE, TASKS, Keep, Task
from uniavgen_core.text.speech_tensors import SpokenText

from ..clips import STEADY, VOICES, ToonPair, ToonScene, ToonSpeech, World, make_pair, make_scene, make_speech
from ..clips.scene import VIDEO_FRAMES

VOICE_SEED = 500_000
SILENCE_SECONDS = 0.3
_CHANCES = (1, 2, 3)
CONTINUATION_IN_VOICE = f"{CONTINUATION.name}, {REFERENCE_VOICE.name}"
PAIR = "pair"
CASES = (*(task.name for task in PAPER_TASKS), CONTINUATION_IN_VOICE, PAIR)
"""Names of the kinds of cases here: the paper's tasks, continuation in a reference voice, and two faces."""


@dataclass(frozen=True)
class Case:
    """One clip to generate, and what it is judged by.

    Attributes:
        frames: True pictures, (F, H, W, 3) uint8.
        waveform: True sound at 24 kHz, (N,).
        mel: Its normalised mel, (S, 80).
        latents_kept: Latents kept from the start.
        sound_kept: Mel frames that are kept, bool, (S,).
        reference: Reference picture, (H, W, 3) uint8.
        voice: Index of the expected voice.
        emotion: The one the caption asks for, of ``Emotion``.
        movement: The head's, one of ``MOVEMENTS``.
        lids: Closure of the eyelids in the true clip, 0 to 1, (F,).
        mouths: Centre, pixels (F, 2), and head radius of the mouth that speaks, then of the one that does not.
        still: True for pixels that never change in the true clip, whatever chance decides, bool, (H, W).
        world: World of the true clip.
        seed: Its seed.
        spoken: Samples of the reference voice at 24 kHz, or None.
        mask: Face mask of the speaker, (F, H, W), or None.
        region: Weight of the pixels that are generated, (F, H, W) float32, where the rest of the picture is kept.
        blended: Whether that rest is blended into every step, rather than clean at time 0.
        old_waveform: Sound of a video that gets new words, (N,), or None.
    """

    frames: np.ndarray
    waveform: Tensor
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
    lids: np.ndarray
    mouths: tuple[tuple[np.ndarray, float], ...]
    still: np.ndarray
    world: World = STEADY
    seed: int = 0
    spoken: np.ndarray | None = None
    mask: np.ndarray | None = None
    region: np.ndarray | None = None
    blended: bool = False
    old_waveform: Tensor | None = None


def voice_mel(spoken: np.ndarray) -> Tensor:
    """Normalised mel of a reference voice (N,) and its silence, (R, 80)."""
    silence = np.zeros(round(SILENCE_SECONDS * SAMPLE_RATE), np.float32)
    return normalized_mel(torch.from_numpy(np.concatenate([spoken, silence])))


def case_of(scene: ToonScene, task: Task = JOINT, world: World = STEADY) -> Case:
    """A scene for a task, which says what of it is kept and which directions run; for a voice see ``with_voice``."""
    clip = scene.clip
    waveform = torch.from_numpy(clip.waveform)
    mel = normalized_mel(waveform)
    words = SpokenText(clip.transcript, MEL_RATE * scene.start)
    latents = {
        Keep.NOTHING: 0,
        Keep.FIRST: 1,
        Keep.AROUND: 0,
        Keep.START: scene.kept_latents,
        Keep.ALL: len(clip.frames) // TEMPORAL_FACTOR + 1,
    }
    mel_frames = {Keep.NOTHING: 0, Keep.START: int(words.start), Keep.ALL: len(mel)}
    return Case(
        frames=clip.frames,
        waveform=waveform,
        mel=mel,
        latents_kept=latents[task.video],
        sound_kept=torch.arange(len(mel)) < mel_frames[task.audio],
        reference=scene.earlier,
        caption=clip.caption,
        words=words,
        interaction=task.interaction,
        voice=clip.voice,
        emotion=clip.emotion,
        movement=clip.movement,
        lids=clip.lids,
        mouths=((clip.mouth_center, clip.face_radius),),
        still=unchanged(clip.frames),
        world=world,
        seed=clip.seed,
    )


def unchanged(frames: np.ndarray) -> np.ndarray:
    """True for pixels that are the same in all frames (F, H, W, 3), bool, (H, W)."""
    return (frames == frames[:1]).all(axis=(0, 3))


def retold_scene(case: Case, chance: int) -> ToonScene:
    """The scene of a lively case under the same conditions, in which chance decides otherwise; 0 for the case's own."""
    world = replace(case.world, chance=chance)
    return make_scene(case.seed, "held_out", world=world, video_frames=len(case.frames))


def with_voice(case: Case, speech: ToonSpeech) -> Case:
    """The same case with a reference voice and its transcript."""
    words = replace(case.words, voice_transcript=speech.transcript)
    return replace(case, spoken=speech.waveform, words=words, voice=speech.voice)


def paired(pair: ToonPair, world: World = STEADY) -> Case:
    """Two faces: the speaker is chosen by its mask; the other one has no track."""
    side = pair.speakers[0]
    clip = pair.clips[side]
    scene = ToonScene(clip, pair.starts[side], pair.ends[side], pair.frames[0], 0, True)
    mouths = [(pair.mouth_center(one), pair.clips[one].face_radius) for one in (side, 1 - side)]
    return replace(
        case_of(scene, world=world),
        frames=pair.frames,
        caption=pair.caption,
        mouths=tuple(mouths),
        still=unchanged(pair.frames),
        mask=pair.face_mask(side),
    )


def scenes(
    count: int, first_seed: int, wanted: Callable[[ToonScene], bool], world: World = STEADY, frames: int = VIDEO_FRAMES
) -> list[ToonScene]:
    """The first held-out scenes of a length that are wanted, from a seed on."""
    drawn = every_scene("held_out", first_seed, world, frames)
    return list(itertools.islice(filter(wanted, drawn), count))


def every_scene(split: str, first_seed: int, world: World, frames: int = VIDEO_FRAMES) -> Iterator[ToonScene]:
    """Scenes of a length with the sentences of a split, of all seeds from the first on."""
    return (make_scene(seed, split, world=world, video_frames=frames) for seed in itertools.count(first_seed))


def every_lone_pair(split: str, first_seed: int, world: World) -> Iterator[ToonPair]:
    """Pairs of which one speaks, with the sentences of a split, of all seeds from the first on."""
    drawn = (make_pair(seed, split, world=world) for seed in itertools.count(first_seed))
    return (pair for pair in drawn if len(pair.speakers) == 1)


def lone_pairs(count: int, first_seed: int, world: World = STEADY) -> list[ToonPair]:
    """The first held-out pairs of which one speaks, in turn the left one and the right one."""
    found: tuple[list[ToonPair], list[ToonPair]] = ([], [])
    for pair in every_lone_pair("held_out", first_seed, world):
        if min(map(len, found)) * 2 >= count:
            break
        found[pair.speakers[0]].append(pair)
    return [pair for both in zip(*found, strict=False) for pair in both][:count]


def cases_of(
    kind: str, count: int, first_seed: int = 0, world: World = STEADY, frames: int = VIDEO_FRAMES
) -> list[Case]:
    """Held-out cases of one kind; fewer are the beginning of more.

    Args:
        kind: One of ``CASES``.
        count: How many.
        first_seed: Where the search for fitting scenes begins.
        world: World of the toons.
        frames: Video frames of each; pairs have 33.

    Returns:
        The cases.
    """
    if kind == PAIR:
        return [paired(pair, world) for pair in lone_pairs(count + count % 2, first_seed, world)][:count]
    task = TASKS[kind.split(",")[0]]
    is_wanted = _has_beginning if task.video is Keep.START else speaks_at_once
    drawn = scenes(count, first_seed, is_wanted, world, frames)
    cases = [_reached_by_none(case_of(scene, task, world)) for scene in drawn]
    if kind == CONTINUATION_IN_VOICE:
        return [with_voice(case, _speech(first_seed + i, case.voice, world)) for i, case in enumerate(cases)]
    if task.reference_voice:
        return [with_voice(case, _speech(first_seed + i, i % len(VOICES), world)) for i, case in enumerate(cases)]
    return cases


def _reached_by_none(case: Case) -> Case:
    """The case; where chance moves the head, only what the head never reaches counts as still."""
    if not case.world.lively or case.latents_kept > 1:
        return case
    others = [unchanged(retold_scene(case, chance).clip.frames) for chance in _CHANCES]
    return replace(case, still=np.logical_and.reduce([case.still, *others]))


def _has_beginning(scene: ToonScene) -> bool:
    """True for a scene that begins before its sentence, so that it can be continued."""
    return scene.kept_latents > 0


def speaks_at_once(scene: ToonScene) -> bool:
    """True for a scene that begins with its sentence and holds all of it."""
    return scene.kept_latents == 0 and scene.fits and scene.start <= 0


def _speech(seed: int, voice: int, world: World) -> ToonSpeech:
    """A held-out sentence in a voice, to refer to."""
    return make_speech(VOICE_SEED + seed, split="held_out", voice=voice, world=world)
