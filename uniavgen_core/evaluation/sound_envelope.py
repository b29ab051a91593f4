"""Loudness of a sound over time, and during video frames.

Dimension key: F video frames, N samples, E envelope values, L lags.
"""

from math import ceil

import numpy as np

ENVELOPE_RATE = 200
_WINDOW_SECONDS = 0.025


def sound_loudness(mono: np.ndarray, sample_rate: int) -> np.ndarray:
    """Loudness over time: root mean square in windows of 25 ms, 200 times a second, relative to the maximum.

    Args:
        mono: Samples, (N,).
        sample_rate: Hz.

    Returns:
        Loudness in [0, 1], (E,); value i is centred on (i + 0.5) / 200 s. Zeros for silence.
    """
    energy = np.concatenate([[0.0], np.cumsum(mono**2)])
    middles = (np.arange(max(1, ceil(len(mono) / sample_rate * ENVELOPE_RATE))) + 0.5) / ENVELOPE_RATE
    start, stop = (
        np.clip(np.round((middles + side * _WINDOW_SECONDS / 2) * sample_rate).astype(int), 0, len(mono))
        for side in (-1, 1)
    )
    loudness = np.sqrt(np.maximum(energy[stop] - energy[start], 0) / np.maximum(stop - start, 1))
    return loudness / max(loudness.max(), 1e-12)


def loudness_at(loudness: np.ndarray, fps: float, video_frames: int, lags: np.ndarray) -> np.ndarray:
    """Mean loudness during each frame, for a sound that is late by each lag.

    Args:
        loudness: Result of ``sound_loudness``, (E,).
        fps: Frames per second.
        video_frames: Number of frames F.
        lags: Seconds, (L,).

    Returns:
        Loudness, (L, F); NaN where there is no sound.
    """
    sums, edges = np.concatenate([[0.0], np.cumsum(loudness)]), np.arange(len(loudness) + 1) / ENVELOPE_RATE
    start = np.arange(video_frames) / fps + lags[:, None]
    stop = start + 1 / fps
    mean = (np.interp(stop, edges, sums) - np.interp(start, edges, sums)) * fps / ENVELOPE_RATE
    return np.where((start > -1e-6) & (stop < edges[-1] + 0.5 / ENVELOPE_RATE), mean, np.nan)
