"""Lip-sync within a clip: the probability of the Sync Meter around each frame, in windows of about a second.

The correlations of the meter are taken window by window, with weights that fall off as a Gaussian. In drawings the dark
mouth follows the sound so closely that three quarters of a second tell enough. In films of people even two seconds tell
little, so there the agreement of the whole clip weighs with that of the window.
Measured by the repository's ``python dev.py bench spans``: of 80 damaged spans of toons 73 are found, 65 of them
within half a second at both ends; 4 of 16 undamaged toons and 1 of 13 films of people have a marked span.

Dimension key: F video frames, T times.
"""

import numpy as np
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from .lip_sync import correlation
from .mouth_finder import Pictures
from .sound_envelope import sound_loudness
from .sync_agreement import CHANGE_SHARE, MotionCurves, Pairing, probability
from .sync_meter import check_clip, find_mouth, mixed_down, search_lags, shared_frames, sync_fault

DARK_SECONDS, MOTION_SECONDS = 3 / 16, 0.5
"""Standard deviations of the windows for the dark mouth and for motion."""
MOTION_SHARE = 0.35
"""Weight of a window's agreement of motion beside that of the whole clip."""
_LEAST_DEVIATION = 0.5
_REACH = 4.0  # Standard deviations at which a window ends.


def windowed_sync(frames: Pictures, fps: float, waveform: Tensor, sample_rate: int) -> np.ndarray:
    """Measure the lip-sync around each frame of a clip.

    Args:
        frames: Pictures, RGB, uint8 or floats in [0, 1], (F, H, W, 3).
        fps: Frames per second.
        waveform: Waveform, (N,) or (channels, N).
        sample_rate: Hz.

    Returns:
        Probability that mouth and sound are in sync around each frame, (F,); 1 for frames without sound, and 0 for all
        if the picture stands still or the sound is silent.

    Raises:
        ValueError: If a shape, rate or value is impossible, or picture and sound share fewer than eight frames.
    """
    check_clip(frames, fps, waveform, sample_rate)
    mono = mixed_down(waveform)
    shared = shared_frames(len(frames), fps, len(mono) / sample_rate)
    pair = Pairing(find_mouth(frames)[0], sound_loudness(mono, sample_rate), fps)
    loudness, heard = pair.frame_loudness(0.0)
    opening = pair.mouth.finder.opening(pair.place())
    if sync_fault(mono, np.where(heard, loudness, np.nan), opening):
        return np.zeros(len(frames))
    scores = np.ones(len(frames))
    scores[heard] = _probabilities(pair, opening[heard], loudness[heard], shared / fps)
    return scores


def _probabilities(pair: Pairing, opening: np.ndarray, loudness: np.ndarray, seconds: float) -> np.ndarray:
    """Probability of being in sync around each frame with sound, (F,), by its opening and loudness, (F,) each."""
    drawn = pair.drawn(search_lags(seconds))
    dark_fit = local_agreement(opening, loudness, DARK_SECONDS * pair.fps)
    if drawn == 1:
        return probability(drawn, dark_fit, np.zeros(len(dark_fit)))
    curves = pair.motion_curves()
    times = (np.arange(len(dark_fit)) + 0.5) / pair.fps
    return probability(drawn, dark_fit, np.interp(times, curves.times, _motion_fit(curves, pair.fps)))


def _motion_fit(curves: MotionCurves, fps: float) -> np.ndarray:
    """Agreement of motion and loudness around each time, (T,)."""
    width = MOTION_SECONDS * fps
    fits = [
        MOTION_SHARE * local_agreement(curves.motion, sound, width)
        + (1 - MOTION_SHARE) * correlation(curves.motion, sound)
        for sound in (curves.loudness, curves.change)
    ]
    return fits[0] + CHANGE_SHARE * fits[1]


def local_agreement(first: np.ndarray, second: np.ndarray, width: float) -> np.ndarray:
    """Agreement of two curves around each of their points.

    It is the larger of two measures, which in a window much wider than the curves both equal their correlation. One is
    the correlation within the window, where neither deviation counts as less than half of the whole curve's, so that
    noise in a pause is no disagreement. The other is 1 less half the mean squared difference of the two curves,
    standardised as a whole, so that curves that rest together agree.

    Args:
        first: A curve, (T,).
        second: Another, (T,).
        width: Standard deviation of the window, points.

    Returns:
        Agreement, at most 1, (T,).
    """
    one, other = _standardised(first), _standardised(second)
    middles = [window_mean(curve, width) for curve in (one, other)]
    deviations = [
        np.sqrt(np.maximum(window_mean(curve**2, width) - middle**2, _LEAST_DEVIATION**2))
        for curve, middle in zip((one, other), middles, strict=True)
    ]
    covariance = window_mean(one * other, width) - middles[0] * middles[1]
    difference = window_mean((one - other) ** 2, width)
    return np.maximum(covariance / (deviations[0] * deviations[1]), 1 - difference / 2)


def window_mean(curve: np.ndarray, width: float) -> np.ndarray:
    """Weighted mean of a curve (T,) around each point; a window that reaches beyond an end has its weights inside.

    Args:
        curve: Values, (T,).
        width: Standard deviation of the window, points.
    """
    sums, weights = (
        gaussian_filter1d(values, width, mode="constant", truncate=_REACH)
        for values in (curve.astype(np.float64), np.ones(len(curve)))
    )
    return sums / weights


def _standardised(curve: np.ndarray) -> np.ndarray:
    return (curve - curve.mean()) / max(float(curve.std()), 1e-9)
