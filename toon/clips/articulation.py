"""Mouth movement of a speaking toon: phonemes give the shape, loudness the amount.

Dimension key: N samples, F video frames.
"""

from collections.abc import Sequence

import numpy as np

from uniavgen_core.shapes import FPS, SAMPLE_RATE

_STEPS_A_SECOND = 1000
_SMOOTHING_SECONDS = 0.03
_LOUDNESS_SECONDS = 0.03
_SILENT, _LOUD = 0.04, 0.9
_PAUSE = (0.0, 0.5)
_CONSONANT = (0.3, 0.55)
_SHAPES = {
    "a": (1.0, 0.6), "A": (1.0, 0.5), "V": (0.85, 0.5), "0": (0.95, 0.4), "O": (0.95, 0.25), "o": (0.85, 0.2),
    "E": (0.75, 0.75), "e": (0.7, 0.8), "3": (0.6, 0.4), "@": (0.6, 0.5), "I": (0.55, 0.75), "i": (0.5, 1.0),
    "u": (0.5, 0.05), "U": (0.5, 0.15), "w": (0.3, 0.0), "m": (0.0, 0.5), "b": (0.0, 0.5), "p": (0.0, 0.5),
    "f": (0.12, 0.6), "v": (0.12, 0.6), "r": (0.4, 0.3), "l": (0.45, 0.6),
}  # fmt: skip
"""Opening and spread, both in [0, 1], by the first letter of espeak-ng's phoneme mnemonic."""


def mouth_shape(mnemonic: str) -> tuple[float, float]:
    """Opening and spread of the mouth, both in [0, 1], for one phoneme; an empty mnemonic or ``_`` is a pause."""
    letters = mnemonic.strip("',%=_:;|")
    return _SHAPES.get(letters[0], _CONSONANT) if letters else _PAUSE


def loudness(waveform: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """Loudness of a waveform at given times, as a share of its loud parts.

    Args:
        waveform: Samples at 24 kHz, (N,).
        seconds: Times, (T,).

    Returns:
        Root mean square over 30 ms relative to the speech's 90th percentile, cut to [0, 1], (T,).
    """
    width = int(_LOUDNESS_SECONDS * SAMPLE_RATE)
    power = np.concatenate([[0.0], np.cumsum(waveform.astype(np.float64) ** 2)])
    middle = (seconds * SAMPLE_RATE).astype(int)
    first, last = np.clip(middle - width // 2, 0, len(waveform)), np.clip(middle + width // 2, 0, len(waveform))
    rms = np.sqrt((power[last] - power[first]) / width)
    return np.clip(rms / (_LOUD * np.percentile(rms[rms > 0.05 * rms.max()], 90)), 0, 1)


def articulate(phonemes: Sequence[tuple[float, str]], waveform: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mouth movement of a clip.

    Args:
        phonemes: (start in seconds, espeak mnemonic) of each phoneme in order; empty for a mouth at rest.
        waveform: Waveform at 24 kHz, (N,).

    Returns:
        Opening and spread of the mouth at the middle of every video frame, both float32 in [0, 1], (F,).
    """
    seconds = np.arange(int(len(waveform) / SAMPLE_RATE * _STEPS_A_SECOND)) / _STEPS_A_SECOND
    starts = np.array([start for start, _ in phonemes])
    shapes = np.array([_PAUSE, *(mouth_shape(name) for _, name in phonemes)])
    opening, spread = shapes[np.searchsorted(starts, seconds, side="right")].T
    loud = loudness(waveform, seconds)
    opening = opening * (0.3 + 0.7 * loud) * (loud > _SILENT)
    reach = np.arange(-100, 101) / _STEPS_A_SECOND
    kernel = np.exp(-0.5 * (reach / _SMOOTHING_SECONDS) ** 2)
    kernel /= kernel.sum()
    middles = (np.arange(round(len(waveform) / SAMPLE_RATE * FPS)) + 0.5) / FPS
    smoothed = [np.convolve(np.pad(x, 100, mode="edge"), kernel, mode="valid") for x in (opening, spread)]
    return tuple(np.interp(middles, seconds, x).astype(np.float32) for x in smoothed)
