"""Measures of damage in generated speech: clipping, silence where words should be, and babble after the last word.

Dimension key: N samples, T times.
"""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

_RATE = 100
_FULL_SCALE, _FLAT = 10 ** (-0.1 / 20), 1e-3
_SPEECH_DB, _QUIETEST_DB = 30.0, -60.0
_SHORTEST_SOUND = 0.06
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
    """Share of clipped samples: neighbours of nearly equal value within 0.1 dB of the waveform's peak.

    Unlike the check of a user's sound, it also finds clipping that was attenuated or went through a lossy codec.

    Args:
        waveform: Mono, (N,).

    Returns:
        Share in [0, 1].
    """
    samples = waveform.abs().numpy()
    peak = float(samples.max(initial=0.0))
    if not peak:
        return 0.0
    is_high = samples >= peak * _FULL_SCALE
    same = np.abs(np.diff(samples)) < _FLAT * peak
    flat = np.concatenate([[False], same]) | np.concatenate([same, [False]])
    return float((is_high & flat).mean())


def voice_activity(waveform: Tensor, sample_rate: int) -> np.ndarray:
    """Detect sound over time: within 30 dB of the loud parts, for at least 60 ms.

    Args:
        waveform: Mono, (N,).
        sample_rate: Hz.

    Returns:
        Booleans, 100 a second, (T,).
    """
    hop = sample_rate / _RATE
    edges = np.round(np.arange(int(len(waveform) / hop) + 1) * hop).astype(int)
    power = np.concatenate([[0.0], np.cumsum(waveform.double().numpy() ** 2)])
    level = 10 * np.log10((power[edges[1:]] - power[edges[:-1]]) / np.maximum(1, np.diff(edges)) + 1e-12)
    if not len(level):
        return np.zeros(0, bool)
    loud = level > max(np.quantile(level, 0.95) - _SPEECH_DB, _QUIETEST_DB)
    return _without_clicks(loud, int(_SHORTEST_SOUND * _RATE))


def _without_clicks(loud: np.ndarray, shortest: int) -> np.ndarray:
    """Booleans (T,) whose runs of fewer than ``shortest`` are false."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], loud.astype(int), [0]])))
    kept = np.zeros(len(loud), bool)
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        kept[start:stop] = stop - start >= shortest
    return kept


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
    split = min(len(loud), int(last * _RATE))
    silence = float(1 - loud[:split].mean()) if split else 0.0
    return SpeechTiming(silence, float(loud[split:].sum() / _RATE))
