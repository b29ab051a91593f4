"""Measures of generated cases, one row of the toons' table: lip-sync, words, voice, emotion and picture.

Dimension key: B clips, F video frames, M mel frames.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from uniavgen_core.evaluation.lip_sync import (
    best_lag,
    correlation,
    first_of,
    mouth_amplitude,
    mouth_opening,
    shuffled_correlation,
    sound_envelope,
)
from uniavgen_core.evaluation.picture_damage import flicker, sharpness
from uniavgen_core.evaluation.sound_damage import speech_timing
from uniavgen_core.evaluation.word_errors import word_error_rate
from uniavgen_core.shapes import MEL_RATE, SAMPLE_RATE

from .. import LIVELY_MODEL, MODEL
from ..clips.motion import MOVEMENTS
from .broken_parts import are_broken, part_crops
from .cases import Case
from .face_judge import seen_emotions
from .face_places import mouth_places
from .generate_cases import Made
from .judge_data import SILENT, small_faces
from .judges import Judges
from .picture_errors import picture_measures
from .relip_cases import RELIP_MEASURES, relip_measures
from .voice_judge import heard_classes
from .word_recognizer import recognise

CHOICES = 8
_FACE_FRAMES = 8
_MARGIN_SECONDS, _LIVELY_MARGIN_SECONDS = 0.4, 0.9
"""Longer than any toon speaks after its transcript's end by position."""

MEASURES = {
    "corr": "mouth opening, read from pixels, against loudness: correlation at lag 0",
    "shuffled": "the same with the sounds of other clips",
    "in_time": "share of clips whose best of nine lags is at most one frame off",
    "first_of_8": "share whose own sound fits the mouth best of eight",
    "amplitude": "how much the mouth opens and closes, hundredths of the squared head radius",
    "other_corr": "the mouth that should stay shut, against loudness",
    **RELIP_MEASURES,
    "words": "share of words right, 1 less the word error rate, by the word judge",
    "voice": "share heard in the voice asked for, by the voice judge (of 8)",
    "emotion_sound": "share heard in the emotion asked for (of 3)",
    "emotion_face": "share seen in the emotion asked for (of 3)",
    "psnr": "dB against the true frames outside mouths and eyes",
    "psnr_eyes": "dB in the eyes of the speaker, in frames in which the true one does not blink",
    "psnr_mouth": "dB in the mouth of the speaker, in the same frames",
    "psnr_background": "dB where the true clip does not change",
    "broken": "share of frames whose eyes or mouth are broken, by the judges of both",
    "sharpness": "fine detail as a share of the truth's: ratio of the variances of the Laplacian",
    "flicker": "trembling of the stillest half of the picture, levels of 255",
    "babble": "seconds of sound after the transcript must have ended",
}


@dataclass(frozen=True)
class Row:
    """Measurements of a set of clips.

    Attributes:
        values: By name of ``MEASURES``; what was not measured is missing.
        lags: Best lag of each clip, video frames, positive when the mouth is late.
        movements: ``psnr`` by the head's movement.
    """

    name: str
    clips: int
    values: Mapping[str, float]
    lags: tuple[int, ...]
    movements: Mapping[str, float]


def measure_cases(name: str, made: Sequence[Made], cases: Sequence[Case], judges: Judges) -> Row:
    """Measure generated clips against their cases.

    Args:
        name: What they are called in the table.
        made: The clips, as a user gets them.
        cases: In the same order.
        judges: Trained judges.

    Returns:
        The row. Words, voice and the sound's emotion are of new sound only; pictures count where no
        more than the first is given.

    Raises:
        ValueError: If the lists differ in length or are empty.
    """
    if len(made) != len(cases) or not made:
        raise ValueError(f"{len(made)} generated clips cannot be compared with {len(cases)} cases.")
    cases = [located(clip, case, judges) for clip, case in zip(made, cases, strict=True)]
    values, lags = _sync(made, cases)
    if not all(case.sound_kept.all() for case in cases):
        values |= _sound(made, cases, judges)
    movements: dict[str, float] = {}
    if any(case.latents_kept < 2 for case in cases):
        pictures, movements = _pictures(made, cases, judges)
        values |= pictures
        if len(cases[0].mouths) == 1:
            values["emotion_face"] = _face(made, cases, judges)
    if cases[0].region is not None:
        found = [
            relip_measures(clip.frames, clip.log_mel.numpy(), case) for clip, case in zip(made, cases, strict=True)
        ]
        values |= {name: float(np.mean([row[name] for row in found])) for name in RELIP_MEASURES}
    return Row(name, len(made), {key: values[key] for key in MEASURES if key in values}, lags, movements)


def located(clip: Made, case: Case, judges: Judges) -> Case:
    """The case with its mouths where they are in a clip: found in the pictures of a lively world, else as in truth."""
    if not case.world.lively:
        return case
    side = clip.frames.shape[1]
    mouths = []
    for center, radius in case.mouths:
        left = side * int(center[0, 0] >= side)
        found = mouth_places(judges.place, clip.frames[:, :, left : left + side])
        mouths.append((found + np.float32([left, 0]), radius))
    return replace(case, mouths=tuple(mouths))


def shuffled(made: list[Made]) -> list[Made]:
    """The same pictures, each with the sound of the next clip."""
    pairs = zip(made, made[1:] + made[:1], strict=True)
    return [Made(one.frames, other.waveform, other.log_mel) for one, other in pairs]


def _sync(made: Sequence[Made], cases: Sequence[Case]) -> tuple[dict[str, float], tuple[int, ...]]:
    """Measures of mouth and sound, and the best lag of each clip."""
    sounds = np.stack([sound_envelope(clip.log_mel.numpy(), len(clip.frames)) for clip in made])
    openings = [
        np.stack([mouth_opening(clip.frames, *case.mouths[who]) for clip, case in zip(made, cases, strict=True)])
        for who in range(len(cases[0].mouths))
    ]
    fits = [np.mean([correlation(*pair) for pair in zip(mouths, sounds, strict=True)]) for mouths in openings]
    lags = tuple(best_lag(*pair)[1] for pair in zip(openings[0], sounds, strict=True))
    values = {
        "corr": float(fits[0]),
        "in_time": float(np.mean(np.abs(lags) <= 1)),
        "amplitude": mouth_amplitude(openings[0]),
    }
    if len(made) > 1:
        values["shuffled"] = shuffled_correlation(openings[0], sounds, CHOICES - 1)
    if len(made) >= CHOICES:
        values["first_of_8"] = first_of(openings[0], sounds, CHOICES)
    if len(fits) > 1:
        values["other_corr"] = float(fits[1])
    return values, lags


def _sound(made: Sequence[Made], cases: Sequence[Case], judges: Judges) -> dict[str, float]:
    """Measures of the sound by the judges; kept sound is silenced."""
    new = torch.stack(
        [clip.log_mel.masked_fill(case.sound_kept, SILENT) for clip, case in zip(made, cases, strict=True)]
    )
    return {
        "words": 1 - word_error_rate([case.words.text for case in cases], recognise(judges.words, new)),
        "voice": _share(heard_classes(judges.voice, new), [case.voice for case in cases]),
        "emotion_sound": _share(heard_classes(judges.sound, new), [case.emotion for case in cases]),
        "babble": float(np.mean([_babble(*pair) for pair in zip(made, cases, strict=True)])),
    }


def _face(made: Sequence[Made], cases: Sequence[Case], judges: Judges) -> float:
    """Share of clips whose face shows the requested emotion."""
    every = np.linspace(1, len(made[0].frames) - 1, _FACE_FRAMES).round().astype(int)
    pictures = torch.stack([small_faces(clip.frames[every]) for clip in made])
    return _share(seen_emotions(judges.face, pictures), [case.emotion for case in cases])


def _pictures(made: Sequence[Made], cases: Sequence[Case], judges: Judges) -> tuple[dict[str, float], dict[str, float]]:
    """Means over the clips, and by the head's movement."""
    rows = [
        picture_measures(clip.frames, case)
        | {
            "broken": _broken(clip.frames, case, judges),
            "sharpness": sharpness(clip.frames[1:], case.frames[1:]),
            "flicker": flicker(clip.frames),
        }
        for clip, case in zip(made, cases, strict=True)
    ]
    by_movement = {
        movement: [row["psnr"] for row, case in zip(rows, cases, strict=True) if case.movement == movement]
        for movement in MOVEMENTS
        if "psnr" in rows[0]
    }
    means = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    return means, {movement: float(np.mean(some)) for movement, some in by_movement.items() if some}


def _broken(frames: np.ndarray, case: Case, judges: Judges) -> float:
    """Share of the generated frames whose eyes or mouth are broken, at the places in the true clip."""
    centers, radius = case.mouths[0]
    found = [
        are_broken(judge, part_crops(frames[1:], centers[1:], radius, part))
        for part, judge in (("eyes", judges.eyes), ("mouth", judges.mouth))
    ]
    return float((found[0] | found[1]).float().mean())


def _babble(clip: Made, case: Case) -> float:
    """Seconds of sound after the transcript must have ended."""
    text = case.words.text or ""
    model, margin = (LIVELY_MODEL, _LIVELY_MARGIN_SECONDS) if case.world.lively else (MODEL, _MARGIN_SECONDS)
    end = (case.words.start + model.text.spoken_frames(len(text))) / MEL_RATE + margin
    return speech_timing(clip.waveform, SAMPLE_RATE, len(text), end).babble


def _share(found: Tensor, wanted: Sequence[int]) -> float:
    """Share of classes found that are the wanted ones."""
    return float((found == torch.tensor(wanted)).float().mean())
