"""Features of what chance decides in a lively toon, measured in the pictures and the sound of a clip alone.

Onset, tempo, pitch and emphasis of the speech; path of the head; gaze and blinks. Between clips under the same
conditions these differ, and how much they do is compared with the truth (``distribution.py``).
Dimension key: F video frames, N samples, T times.
"""

from typing import NamedTuple

import numpy as np
from torch import Tensor
from torchaudio.functional import detect_pitch_frequency

from uniavgen_core.evaluation.sound_envelope import ENVELOPE_RATE, sound_loudness
from uniavgen_core.shapes import SAMPLE_RATE

from .cases import Case
from .gaze_judge import GazeJudge, read_gaze
from .generate_cases import Made

GROUPS = {
    "speech": ("onset", "tempo", "pitch", "pitch_range", "emphasis"),
    "head": ("head_x", "head_y", "sway_x", "sway_y"),
    "eyes": ("gaze_x", "gaze_y", "looks_x", "looks_y", "closed"),
}
FEATURES = tuple(name for names in GROUPS.values() for name in names)
_HEARD = 0.05
"""Loudness from which a moment is heard, as a share of the maximum."""
_LOWEST_HERTZ, _HIGHEST_HERTZ, _PITCH_SECONDS = 70, 500, 0.01
_EMPHASIS_SECONDS = 0.2


class Spoken(NamedTuple):
    """Manner of a sentence: seconds of onset, seconds a character, semitones of pitch and of its range, and dB."""

    onset: float
    tempo: float
    pitch: float
    pitch_range: float
    emphasis: float


def chance_features(clip: Made, case: Case, reader: GazeJudge) -> np.ndarray:
    """Measure one clip.

    Args:
        clip: Clip as a user gets it.
        case: Its case, with the mouth where it is in the clip's pictures (``measures.located``).
        reader: Judge of gaze and lids.

    Returns:
        Values in the order of ``FEATURES``, (14,): the head's place against the first frame in head radii, mean and
        deviation; the gaze, mean and deviation; share of frames with closed eyes.
    """
    center, radius = case.mouths[0]
    path = (center - center[0]) / radius
    eyes = read_gaze(reader, clip.frames, center, radius)
    gaze, closed = eyes[:, :2], eyes[:, 2] > 0.5
    return np.array(
        [
            *speech_features(clip.waveform, len(case.words.text or "")),
            *path.mean(0), *path.std(0),
            *gaze.mean(0), *gaze.std(0), closed.mean(),
        ]
    )  # fmt: skip


def speech_features(waveform: Tensor, characters: int) -> Spoken:
    """Measure how a sentence of ``characters`` is said in a sound (N,) at 24 kHz."""
    loudness = sound_loudness(waveform.double().numpy(), SAMPLE_RATE)
    heard = np.flatnonzero(loudness > _HEARD)
    if not len(heard) or not loudness.max():
        return Spoken(0, 0, 0, 0, 0)
    first, last = heard[0] / ENVELOPE_RATE, (heard[-1] + 1) / ENVELOPE_RATE
    pitch = _semitones(waveform, loudness)
    width = round(_EMPHASIS_SECONDS * ENVELOPE_RATE)
    decibels = 20 * np.log10(np.maximum(loudness[heard[0] : heard[-1] + 1], 1e-3))
    parts = [part.max() for part in np.array_split(decibels, max(1, len(decibels) // width))]
    tempo = (last - first) / max(1, characters)
    return Spoken(first, tempo, float(np.median(pitch)), float(pitch.std()), float(np.std(parts)))


def _semitones(waveform: Tensor, loudness: np.ndarray) -> np.ndarray:
    """Pitch of the louder moments, semitones above 100 Hz, (T,)."""
    hertz = detect_pitch_frequency(
        waveform[None], SAMPLE_RATE, _PITCH_SECONDS, freq_low=_LOWEST_HERTZ, freq_high=_HIGHEST_HERTZ
    )[0].numpy()
    moments = np.linspace(0, len(loudness) - 1, len(hertz)).round().astype(int)
    loud = loudness[moments] > np.median(loudness[loudness > _HEARD])
    return 12 * np.log2(hertz[loud] / 100) if loud.any() else np.zeros(1)
