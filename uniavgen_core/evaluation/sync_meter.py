"""Lip-sync meter for any video: correlation of mouth and sound, and the lag of the sound.

The opening of the mouth is measured in the pictures (``mouth_finder.py``), the loudness in the waveform, and the two
are correlated at every lag. The score is a correlation, not a probability. A short clip reaches a high score by chance,
because the position and the lag are fitted, so the same search is repeated with the sound played backwards, and that
score is given too. Measured on toons of eight seconds, every matching sound exceeds it by 0.05, and so does one wrong
sound in four; at two seconds, half of the matching sounds do, and one wrong sound in ten.

Dimension key: F video frames, H picture height, W picture width, N samples, E envelope values, L lags.
"""

from dataclasses import dataclass
from math import ceil, isfinite

import numpy as np
from torch import Tensor

from ..media.audio.mel import check_sound
from ..media.audio.sound import LOWEST_RATE
from .lip_sync import correlation
from .mouth_finder import MouthFinder, Pictures, darkness, mask_boxes

SEARCH_SECONDS = 0.5
FEWEST_FRAMES = 8
ENVELOPE_RATE = 200
_WINDOW_SECONDS = 0.025
_COARSE_STEP = 4
_CONTROLS, _MARGIN = 7, 0.05
_SILENT = 1e-4
_STEADY = 0.02
_STILL = 0.5 / 255


@dataclass(frozen=True)
class SyncReading:
    """Result of a lip-sync measurement.

    Attributes:
        score: Highest correlation of mouth and sound over all lags, 0 to 1; 0 if it cannot be measured.
        at_zero: Correlation at lag 0.
        lag_ms: Lag of the highest correlation, milliseconds; positive when the sound is late.
        chance: Highest score of seven runs with the sound played backwards; a score near it is not significant.
        opening: Mouth opening: mean darkness of the square found, 0 to 1, (F,).
        envelope: Loudness of the sound during each frame, 0 to 1, NaN where there is no sound, (F,).
        fps: Frames per second.
        lags_ms: Lags, milliseconds, (L,).
        fits: Correlation at each lag, (L,).
        boxes: Bounding box of the mouth in every frame: left, top, right, bottom, pixels, (F, 4).
        notices: Notices for the user, whole sentences.
    """

    score: float
    at_zero: float
    lag_ms: float
    chance: float
    opening: np.ndarray
    envelope: np.ndarray
    fps: float
    lags_ms: np.ndarray
    fits: np.ndarray
    boxes: np.ndarray
    notices: tuple[str, ...]


def measure_sync(
    frames: Pictures,
    fps: float,
    waveform: Tensor,
    sample_rate: int,
    mask: Pictures | None = None,
    mask_shows: str = "face",
) -> SyncReading:
    """Measure the lip-sync of a clip.

    Lags of up to half a second in either direction are searched, fewer in clips under two seconds, in steps of 5 ms. If
    sound and video differ in length, the shorter is used.

    Args:
        frames: Pictures, RGB, uint8 or floats in [0, 1], (F, H, W, 3). Further channels are ignored.
        fps: Frames per second.
        waveform: Waveform, (N,) or (channels, N), which is mixed down, floating point.
        sample_rate: Hz.
        mask: Search region of the mouth, (F or 1, H, W), which may move; None for the whole picture.
        mask_shows: ``face`` to search the lower half of the mask, ``mouth`` to search all of it.

    Returns:
        The reading. A still picture or a silent sound has score 0 and a notice.

    Raises:
        ValueError: If a shape, rate or value is impossible, or picture and sound share fewer than eight frames.
    """
    _check(frames, fps, waveform, sample_rate)
    mono = (waveform if waveform.ndim == 1 else waveform.mean(0)).detach().cpu().numpy().astype(np.float64)
    height, width = frames.shape[1:3]
    return _compare(frames, fps, mono, sample_rate, mask_boxes(mask, len(frames), height, width, mask_shows))


def _compare(frames: Pictures, fps: float, mono: np.ndarray, sample_rate: int, boxes: np.ndarray) -> SyncReading:
    """Compare what moves in boxes (F, 4) of the frames with a sound (N,)."""
    video_frames, sound_seconds = len(frames), len(mono) / sample_rate
    shared = _shared_frames(video_frames, fps, sound_seconds)
    finder = MouthFinder(darkness(frames, boxes))
    loudness, lags = sound_loudness(mono, sample_rate), _lags(shared / fps)
    sounds = loudness_at(loudness, fps, video_frames, lags)
    place, fits = _search(finder, sounds)
    opening, envelope = finder.opening(place), sounds[len(lags) // 2]
    chance = 0.0
    notices = [_length_notice(video_frames / fps, sound_seconds, shared / fps)]
    fault = _fault(mono, envelope, opening)
    if fault:
        fits = np.zeros_like(fits)
    else:
        chance = _chance(finder, loudness[: ceil(shared / fps * ENVELOPE_RATE)], fps, lags)
        fault = _doubt(fits.max(), chance)
    best = int(fits.argmax()) if fits.any() else len(lags) // 2
    return SyncReading(
        max(0.0, float(fits[best])), float(fits[len(lags) // 2]), float(1000 * lags[best]), chance, opening, envelope,
        fps, 1000 * lags, fits, finder.box(place, boxes), tuple(notice for notice in (*notices, fault) if notice),
    )  # fmt: skip


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


def _check(frames: Pictures, fps: float, waveform: Tensor, sample_rate: int) -> None:
    """Reject impossible shapes, rates and values."""
    if frames.ndim != 4 or frames.shape[-1] < 3 or 0 in frames.shape:
        raise ValueError(f"Pictures of shape {tuple(frames.shape)} cannot be measured; expected (F, H, W, 3).")
    if not (isfinite(fps) and fps > 0):
        raise ValueError(f"fps is {fps}; it must be above 0.")
    if sample_rate < LOWEST_RATE:
        raise ValueError(f"sample_rate is {sample_rate} Hz; it must be at least {LOWEST_RATE}.")
    if waveform.ndim not in (1, 2):
        raise ValueError(f"A waveform of shape {tuple(waveform.shape)} is not one sound; (N,) or (channels, N).")
    check_sound(waveform)


def _shared_frames(video_frames: int, fps: float, sound_seconds: float) -> int:
    """Number of frames with sound; too few to compare are refused."""
    shared = min(video_frames, int(sound_seconds * fps + 1e-6))
    if shared < FEWEST_FRAMES:
        raise ValueError(
            f"Picture and sound have {shared} frames in common ({video_frames} frames at {fps:g} fps, "
            f"{sound_seconds:.3f} s of sound); at least {FEWEST_FRAMES} are needed to compare them."
        )
    return shared


def _lags(shared_seconds: float) -> np.ndarray:
    """Lags to search, seconds, symmetric about zero: at most half a second or a quarter of the clip."""
    most = int(min(SEARCH_SECONDS, shared_seconds / 4) * ENVELOPE_RATE)
    return np.arange(-most, most + 1) / ENVELOPE_RATE


def _search(finder: MouthFinder, sounds: np.ndarray) -> tuple[tuple[int, int, int], np.ndarray]:
    """Square that follows the sounds (L, F) best, and its correlation at every lag, (L,)."""
    middle = len(sounds) // 2
    coarse = sounds[middle % _COARSE_STEP :: _COARSE_STEP]
    centred = np.nan_to_num(coarse - np.nanmean(coarse, 1, keepdims=True))
    place = finder.find(centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-9))
    opening = finder.opening(place)
    valid = ~np.isnan(sounds)
    return place, np.array([correlation(opening[at], sound[at]) for sound, at in zip(sounds, valid, strict=True)])


def _chance(finder: MouthFinder, loudness: np.ndarray, fps: float, lags: np.ndarray) -> float:
    """Highest score of the sound played backwards, from seven starting points."""
    backwards, video_frames = loudness[::-1], len(finder.squares[0])
    turned = [np.roll(backwards, len(backwards) * turn // _CONTROLS) for turn in range(_CONTROLS)]
    return max(0.0, *(float(_search(finder, loudness_at(x, fps, video_frames, lags))[1].max()) for x in turned))


def _length_notice(video_seconds: float, sound_seconds: float, shared_seconds: float) -> str | None:
    """Notice that picture and sound differ in length by a tenth of a second or more; None if they do not."""
    if abs(video_seconds - sound_seconds) < 0.1:
        return None
    return (
        f"The picture lasts {video_seconds:.2f} s, the sound {sound_seconds:.2f} s; "
        f"the first {shared_seconds:.2f} s are compared."
    )


def _fault(mono: np.ndarray, envelope: np.ndarray, opening: np.ndarray) -> str | None:
    """Reason why nothing can be measured; None if it can."""
    if np.abs(mono).max() < _SILENT:
        return "The sound is silent, so there is nothing to follow."
    if np.nanstd(envelope) < _STEADY * np.nanmean(envelope):
        return "The sound is equally loud all the time, so there is nothing to follow."
    if np.std(opening) < _STILL:
        return "The picture does not move where it was looked at, so nothing follows the sound."
    return None


def _doubt(score: float, chance: float) -> str | None:
    """Notice that a score is hardly better than a wrong sound's; None if it is."""
    if score > chance + _MARGIN:
        return None
    return (
        f"The sound fits about as well backwards ({chance:.2f}): the clip is too short to tell, or no mouth follows it."
    )
