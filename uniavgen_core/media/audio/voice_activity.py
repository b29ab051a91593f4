"""Level of a sound over time, and the times in which something is heard.

Dimension key: N samples, T times.
"""

import numpy as np
from torch import Tensor

LEVEL_RATE = 100
"""Levels a second."""
_SPEECH_DB, _QUIETEST_DB = 30.0, -60.0
_SHORTEST_SOUND = 0.06


def level_of(waveform: Tensor, sample_rate: int) -> np.ndarray:
    """Level of a sound, dB of full scale, 100 values a second, (T,).

    Args:
        waveform: Mono, (N,).
        sample_rate: Hz.
    """
    hop = sample_rate / LEVEL_RATE
    edges = np.round(np.arange(int(len(waveform) / hop) + 1) * hop).astype(int)
    power = np.concatenate([[0.0], np.cumsum(waveform.double().numpy() ** 2)])
    return 10 * np.log10((power[edges[1:]] - power[edges[:-1]]) / np.maximum(1, np.diff(edges)) + 1e-12)


def pause_level(level: np.ndarray) -> float:
    """Level up to which a sound with these levels (T,) pauses, dB: 30 below the loud parts, but at least -60."""
    return max(float(np.quantile(level, 0.95)) - _SPEECH_DB, _QUIETEST_DB)


def voice_activity(waveform: Tensor, sample_rate: int) -> np.ndarray:
    """Detect sound over time: within 30 dB of the loud parts, for at least 60 ms.

    Args:
        waveform: Mono, (N,).
        sample_rate: Hz.

    Returns:
        Booleans, 100 a second, (T,).
    """
    level = level_of(waveform, sample_rate)
    if not len(level):
        return np.zeros(0, bool)
    return _without_clicks(level > pause_level(level), int(_SHORTEST_SOUND * LEVEL_RATE))


def _without_clicks(loud: np.ndarray, shortest: int) -> np.ndarray:
    """Booleans (T,) whose runs of fewer than ``shortest`` are false."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], loud.astype(int), [0]])))
    kept = np.zeros(len(loud), bool)
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        kept[start:stop] = stop - start >= shortest
    return kept
