"""Measures of damage in generated speech: clipping, silence where words should be, and babble after the last word.

Dimension key: N samples, T times.
"""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from ..media.audio.voice_activity import LEVEL_RATE, voice_activity

_FULL_SCALE, _FLAT = 10 ** (-0.1 / 20), 1e-3
_SLOWEST, _LONGEST_ONSET = 9.0, 0.6
"""Characters a second of the slowest speech, and most seconds before its first sound."""


@dataclass(frozen=True)
class SpeechTiming:
    """Silence and babble of a clip that should say a transcript.

    Attributes:
        silence: Share of the time, before the transcript can have ended, in which nothing is heard, in [0, 1].
        babble: Seconds of sound after the transcript must have ended.
    """

    silence: float
    babble: float


def clipped_share(waveform: Tensor) -> float:
    """Share of the samples of a mono waveform (N,) that are clipped, in [0, 1]."""
    is_clipped = clipped_samples(waveform)
    return float(is_clipped.mean()) if len(is_clipped) else 0.0


def clipped_samples(waveform: Tensor) -> np.ndarray:
    """Find clipped samples: neighbours of nearly equal value within 0.1 dB of the waveform's peak.

    Unlike the check of a user's sound, it also finds clipping that was attenuated or went through a lossy codec.

    Args:
        waveform: Mono, (N,).

    Returns:
        Booleans, (N,).
    """
    samples = waveform.abs().numpy()
    peak = float(samples.max(initial=0.0))
    if not peak:
        return np.zeros(len(samples), bool)
    is_high = samples >= peak * _FULL_SCALE
    same = np.abs(np.diff(samples)) < _FLAT * peak
    flat = np.concatenate([[False], same]) | np.concatenate([same, [False]])
    return is_high & flat


def speech_timing(waveform: Tensor, sample_rate: int, characters: int, end: float | None = None) -> SpeechTiming:
    """Measure silence and babble of a clip that says a transcript.

    Args:
        waveform: Mono, (N,).
        sample_rate: Hz.
        characters: Characters of the transcript.
        end: Time by which it must have ended, seconds; by default at nine characters a second, the slowest speech,
            after an onset of at most 0.6 s.
    """
    loud = voice_activity(waveform, sample_rate)
    last = _LONGEST_ONSET + characters / _SLOWEST if end is None else end
    split = min(len(loud), int(last * LEVEL_RATE))
    silence = float(1 - loud[:split].mean()) if split else 0.0
    return SpeechTiming(silence, float(loud[split:].sum() / LEVEL_RATE))
