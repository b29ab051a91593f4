"""Scores of a clip around each frame, and the spans in which it is weak.

Dimension key: F video frames, H picture height, W picture width, N samples, T times.
"""

from dataclasses import dataclass
from itertools import pairwise
from math import ceil

import numpy as np
from torch import Tensor

from ..media.audio.voice_activity import LEVEL_RATE, voice_activity
from ..media.time_spans import Spans
from .fine_detail import detail
from .sound_damage import clipped_samples
from .sync_windows import window_mean, windowed_sync
from .takes import CLIPPING, FASTEST, LEAST_MOVEMENT

SPAN_CRITERIA = {
    "sync": "probability that mouth and audio are in sync",
    "clean": "1, less ten times the share of clipped samples",
    "heard": "0 for a second of silence before the words can have ended",
    "sharp": "fine detail of the frames as a share of the clip's median, at most 1",
    "moves": "0 for video that stands still for half a second while audio is heard",
}
"""Criteria of a span, each from 0 to 1; its score is the lowest."""
WINDOW_SECONDS = 0.125
"""Standard deviation of the windows for clipping and blur; those for lip-sync are longer."""
LONGEST_SILENCE, LONGEST_STILL, _ONSET = 1.0, 0.5, 0.6
"""Seconds of silence and of a still picture that are a fault, and most seconds before the first sound."""
_EXTENDED_TO = 0.5
_MARGIN, _SHORTEST, _SMALLEST_GAP = 0.1, 0.5, 0.5
"""Seconds that are added at both ends of a weak span, the least length of one, and the least time between two."""


@dataclass(frozen=True)
class SpanScores:
    """Scores of a clip around each of its frames.

    Attributes:
        fps: Frames per second.
        criteria: Scores by name of ``SPAN_CRITERIA``, in [0, 1], (F,) each.
    """

    fps: float
    criteria: dict[str, np.ndarray]

    @property
    def lowest(self) -> np.ndarray:
        """Lowest score around each frame, (F,)."""
        return np.min(list(self.criteria.values()), axis=0)

    @property
    def seconds(self) -> float:
        """Length of the pictures."""
        return len(self.lowest) / self.fps

    def mean(self, start: float, stop: float) -> float:
        """Mean of the lowest scores of the frames between two times in seconds."""
        return float(self.lowest[self._frames(start, stop)].mean())

    def weakest(self, start: float, stop: float) -> str:
        """Name of the criterion with the lowest score between two times in seconds."""
        inside = self._frames(start, stop)
        return min(self.criteria, key=lambda name: float(self.criteria[name][inside].min()))

    def _frames(self, start: float, stop: float) -> slice:
        first = min(int(start * self.fps + 0.5), len(self.lowest) - 1)
        return slice(first, max(first + 1, int(stop * self.fps + 0.5)))


def score_spans(frames: np.ndarray, fps: float, sound: tuple[Tensor, int], characters: int) -> SpanScores:
    """Score a clip around each of its frames.

    Args:
        frames: RGB, (F, H, W, 3) uint8, F at least 8.
        fps: Frames per second.
        sound: Mono samples, (N,), and their rate, Hz.
        characters: Characters of what should be said; 0 if that is not known, and then silence is not judged.

    Returns:
        The scores.
    """
    waveform, rate = sound
    loud = voice_activity(waveform, rate)
    criteria = {
        "sync": windowed_sync(frames, fps, waveform, rate),
        "clean": _clean(waveform, rate, len(frames), fps),
        "sharp": _sharp(frames, fps),
        "moves": _moves(frames, fps, loud),
    }
    if characters:
        criteria["heard"] = _heard(loud, len(frames), fps, characters)
    return SpanScores(fps, {name: criteria[name] for name in SPAN_CRITERIA if name in criteria})


def weak_spans(scores: SpanScores, threshold: float) -> Spans:
    """Find the spans whose score falls under a threshold.

    Args:
        scores: Scores of a clip.
        threshold: Lowest good score, in [0, 1].

    Returns:
        Spans in seconds within the clip. Each reaches to either side until the score is .5 and a tenth of a second
        further, and lasts half a second or more; spans less than half a second apart are joined.
    """
    lowest = scores.lowest
    found: list[tuple[float, float]] = []
    for first, stop in _runs(lowest < max(threshold, _EXTENDED_TO)):
        if lowest[first:stop].min() >= threshold:
            continue
        start, end = _widened(first / scores.fps - _MARGIN, stop / scores.fps + _MARGIN, scores.seconds)
        if found and start - found[-1][1] < _SMALLEST_GAP:
            start = found.pop()[0]
        found.append((start, end))
    return Spans(tuple(found))


def _widened(start: float, stop: float, seconds: float) -> tuple[float, float]:
    """A span within a clip, widened to half a second where the clip lasts as long."""
    more = max(0.0, _SHORTEST - (stop - start)) / 2
    start, stop = max(0.0, start - more), min(seconds, stop + more)
    if start == 0.0:
        stop = min(seconds, max(stop, _SHORTEST))
    if stop == seconds:
        start = max(0.0, min(start, seconds - _SHORTEST))
    return start, stop


def _runs(is_inside: np.ndarray) -> list[tuple[int, int]]:
    """First index, and the one after the last, of every run of true values in (F,)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], is_inside.astype(int), [0]])))
    return [(int(first), int(stop)) for first, stop in zip(edges[::2], edges[1::2], strict=True)]


def _clean(waveform: Tensor, rate: int, video_frames: int, fps: float) -> np.ndarray:
    """Score for clipping, (F,)."""
    clipped = _frame_means(clipped_samples(waveform).astype(np.float64), rate, video_frames, fps)
    return np.clip(1 - CLIPPING * window_mean(clipped, WINDOW_SECONDS * fps), 0, 1)


def _heard(loud: np.ndarray, video_frames: int, fps: float, characters: int) -> np.ndarray:
    """Score for silence before the words can have ended, (F,)."""
    scores, must_end = np.ones(video_frames), characters / FASTEST
    for first, stop in _runs(~loud):
        start, end = max(first / LEVEL_RATE, _ONSET), min(stop / LEVEL_RATE, must_end)
        if end - start >= LONGEST_SILENCE:
            scores[int(start * fps) : ceil(end * fps)] = 0.0
    return scores


def _sharp(frames: np.ndarray, fps: float) -> np.ndarray:
    """Score for blur, (F,)."""
    details = np.array([detail(frame[None]) for frame in frames])
    return np.clip(window_mean(details, WINDOW_SECONDS * fps) / max(float(np.median(details)), 1e-6), 0, 1)


def _moves(frames: np.ndarray, fps: float, loud: np.ndarray) -> np.ndarray:
    """Score for pictures that stand still while something is heard, (F,)."""
    changes = np.array([np.abs(after.astype(np.int16) - before).mean() for before, after in pairwise(frames)])
    speaks = _frame_means(loud.astype(np.float64), LEVEL_RATE, len(frames), fps) > 0
    scores, least = np.ones(len(frames)), ceil(LONGEST_STILL * fps)
    for first, stop in _runs(changes < LEAST_MOVEMENT):
        if stop - first >= least and speaks[first : stop + 1].mean() > 0.5:
            scores[first : stop + 1] = 0.0
    return scores


def _frame_means(values: np.ndarray, rate: float, video_frames: int, fps: float) -> np.ndarray:
    """Mean of values at a rate during each frame, 0 where there are none, (F,)."""
    edges = np.clip(np.round(np.arange(video_frames + 1) * rate / fps).astype(int), 0, len(values))
    sums = np.concatenate([[0.0], np.cumsum(values)])
    return (sums[edges[1:]] - sums[edges[:-1]]) / np.maximum(1, np.diff(edges))
