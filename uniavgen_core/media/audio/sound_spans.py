"""Segments of a long sound: their cuts, and the words that each holds.

Dimension key: N samples, W words.
"""

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from ...shapes import FPS, SAMPLE_RATE, TEMPORAL_FACTOR, video_frames_of
from .voice_activity import LEVEL_RATE, level_of, pause_level

_AROUND = 0.1
"""Seconds on both sides of a cut that must be quiet."""


def cut_at_pauses(waveform: Tensor, video_frames: int, first: int, following: int) -> list[int]:
    """Plan the segments of a film that a sound drives.

    Each is cut at the latest pause in the second half of what it can hold, or else where that half is quietest.

    Args:
        waveform: The sound at 24 kHz, (N,).
        video_frames: Frames of the film, 4n + 1.
        first: Most frames of the first segment, 4n + 1.
        following: Most frames that every other one adds, a multiple of 4.

    Returns:
        Frames of the film at the end of each segment, 4n + 1.

    Raises:
        ValueError: If a segment would add nothing.
    """
    if first < video_frames_of(2) or following < TEMPORAL_FACTOR:
        raise ValueError(f"Segments of {first} frames, then of {following} more, add nothing.")
    level = level_of(waveform, SAMPLE_RATE)
    pause = pause_level(level)
    ends, end, room = [], 1, first - 1
    while end + room < video_frames:
        nearest = max(TEMPORAL_FACTOR, room // 2 // TEMPORAL_FACTOR * TEMPORAL_FACTOR)
        places = np.arange(end + room, end + nearest - 1, -TEMPORAL_FACTOR)
        around = np.array([_loudest(level, place / FPS) for place in places])
        end = int(places[np.argmax(around <= pause) if (around <= pause).any() else np.argmin(around)])
        ends.append(end)
        room = following
    return [*ends, video_frames]


def words_of_spans(
    text: str, activity: np.ndarray, spans: Sequence[tuple[float, float]]
) -> tuple[list[str], list[float]]:
    """Share words out to spans of a sound, by how much of its speech comes before each.

    Args:
        text: What is said, W words.
        activity: Whether something is said, 100 times a second, as ``voice_activity`` finds it.
        spans: Start and end of each, seconds; they may overlap.

    Returns:
        The words of each span: those whose middle lies in it, if letters are spoken evenly wherever there is speech;
        and the time in each span at which the first of them begins, seconds, 0 without one.
    """
    words, spoken = text.split(), np.cumsum(activity).astype(float)
    if not words or not len(spoken) or not spoken[-1]:
        return [""] * len(spans), [0.0] * len(spans)
    ends = np.cumsum([len(word) + 1 for word in words]) / (len(text.split()) + sum(map(len, words)))
    begins = np.concatenate([[0.0], ends[:-1]])
    starts, times = (_times_of(shares, spoken) for shares in (begins, (begins + ends) / 2))
    chosen = [[number for number, time in enumerate(times) if start <= time < stop] for start, stop in spans]
    said = [" ".join(words[number] for number in numbers) for numbers in chosen]
    first = [
        max(0.0, float(starts[numbers[0]]) - span[0]) if numbers else 0.0
        for numbers, span in zip(chosen, spans, strict=True)
    ]
    return said, first


def _times_of(shares: np.ndarray, spoken: np.ndarray) -> np.ndarray:
    """Times at which shares of all that is spoken lie behind, seconds, (W,); a pause counts to what comes before."""
    return np.searchsorted(spoken / spoken[-1], shares, side="right") / LEVEL_RATE


def _loudest(level: np.ndarray, seconds: float) -> float:
    """Highest level around a time, dB; silence after the end."""
    near = level[max(0, round((seconds - _AROUND) * LEVEL_RATE)) : round((seconds + _AROUND) * LEVEL_RATE)]
    return float(near.max(initial=-120.0))
