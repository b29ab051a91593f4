"""Audio measures without learned weights: stand-ins for trained judges of timbre, emotion and audio quality.

Dimension key: N samples, T mel frames, F video frames.
"""

from itertools import pairwise
from math import log10

import numpy as np
import torch
from torch import Tensor

from ..media.audio.mel import log_mel
from ..media.audio.sound import resample
from ..shapes import MEL_RATE, SAMPLE_RATE
from .lip_sync import correlation
from .sound_damage import clipped_share

COEFFICIENTS = 20
_LOUD_DB = 25.0
_FEWEST_MOMENTS = 20
_LOWEST_HZ, _HIGHEST_HZ = 60, 500
_WINDOW = 1024
_AROUSAL_SECONDS = 0.25
_STILL = 1e-9
_CLIPPED_SHARE = 1e-3


def _mel(waveform: Tensor, sample_rate: int) -> Tensor:
    """Log-mel of a mono waveform (N,) at any rate, (80, T)."""
    return log_mel(resample(waveform[None], sample_rate, SAMPLE_RATE)[0])


def _loud(mel: Tensor) -> Tensor:
    """Mask of mel frames within 25 dB of the 95th percentile of the level, (T,) bool."""
    level = 20 / np.log(10) * mel.exp().mean(0).log()
    return level > torch.quantile(level, 0.95) - _LOUD_DB


def cepstra(waveform: Tensor, sample_rate: int) -> Tensor:
    """Mel cepstra of the loud frames, without the zeroth coefficient, the loudness.

    Args:
        waveform: Mono, (N,).
        sample_rate: Hz.

    Returns:
        Cepstra, (loud frames, 20).

    Raises:
        ValueError: If less than a fifth of a second is loud.
    """
    from torchaudio.functional import create_dct

    mel = _mel(waveform, sample_rate)
    transform = create_dct(COEFFICIENTS + 1, mel.shape[0], norm="ortho")
    chosen = (mel.T @ transform)[_loud(mel), 1:]
    if len(chosen) < _FEWEST_MOMENTS:
        raise ValueError(f"Only {len(chosen) / MEL_RATE:.2f} s of audio are loud enough to compare voices.")
    return chosen


def voice_distance(first: Tensor, second: Tensor) -> float:
    """Distance of two voices: symmetric divergence of Gaussians with diagonal covariance, per coefficient.

    Args:
        first: Cepstra of one voice, (loud frames, 20).
        second: Cepstra of the other.

    Returns:
        Distance, at least 0.
    """
    means, spreads = zip(*((x.mean(0), x.var(0) + 1e-2) for x in (first, second)), strict=True)
    apart = (means[0] - means[1]) ** 2
    ratio = (spreads[0] + apart) / spreads[1] + (spreads[1] + apart) / spreads[0]
    return float((ratio / 2 - 1).mean() / 2)


def timbre_consistency(waveform: Tensor, sample_rate: int, reference: tuple[Tensor, int] | None = None) -> float:
    """Timbre consistency: the first half of the loud frames against the second, or all against a reference.

    Args:
        waveform: Mono, (N,).
        sample_rate: Hz.
        reference: Waveform and sample rate of a reference.

    Returns:
        Consistency in (0, 1], 1 for equal statistics: the exponential of the negative distance.

    Raises:
        ValueError: If there are too few loud frames.
    """
    spoken = cepstra(waveform, sample_rate)
    if reference is not None:
        pair = spoken, cepstra(*reference)
    else:
        if len(spoken) < 2 * _FEWEST_MOMENTS:
            raise ValueError(f"Only {len(spoken) / MEL_RATE:.2f} s of audio are loud enough to compare two halves.")
        pair = spoken[: len(spoken) // 2], spoken[len(spoken) // 2 :]
    return float(np.exp(-voice_distance(*pair)))


def sound_quality(waveform: Tensor, sample_rate: int) -> float:
    """Level of the loud frames over that of the quiet ones, a measure of background noise, less clipping, dB.

    Args:
        waveform: Mono, (N,).
        sample_rate: Hz.

    Returns:
        Difference of the 95th and the 5th percentile of the level, at most 60, less 3 dB if a thousandth of the samples
        is clipped, 10 if a hundredth is, and 20 if a tenth is.
    """
    level = 20 / np.log(10) * _mel(waveform, sample_rate).exp().mean(0).log()
    high, low = torch.quantile(level, torch.tensor([0.95, 0.05]))
    return min(60.0, float(high - low)) - 10 * log10(1 + clipped_share(waveform) / _CLIPPED_SHARE)


def vocal_arousal(waveform: Tensor, sample_rate: int) -> np.ndarray:
    """Vocal arousal over time: mean of the standardised loudness, brightness and pitch.

    Args:
        waveform: Mono, (N,).
        sample_rate: Hz.

    Returns:
        Arousal at 100 values per second, with mean 0 over the clip, (T,).
    """
    mel = _mel(waveform, sample_rate)
    level = mel.exp().mean(0).log().numpy()
    tilt = (mel[40:].mean(0) - mel[:20].mean(0)).numpy()
    pitch = _pitch(resample(waveform[None], sample_rate, SAMPLE_RATE)[0].numpy(), len(level))
    loud = _loud(mel).numpy()
    parts = [np.where(loud, x, np.min(x[loud])) for x in (level, tilt, pitch)]
    return np.sum([(x - x.mean()) / max(float(x.std()), 1e-6) for x in parts], axis=0) / len(parts)


def _pitch(samples: np.ndarray, moments: int) -> np.ndarray:
    """Logarithm of the pitch of each frame by autocorrelation, (T,)."""
    hop = SAMPLE_RATE // MEL_RATE
    padded = np.pad(samples, (_WINDOW // 2, _WINDOW))
    windows = np.stack([padded[i * hop : i * hop + _WINDOW] for i in range(moments)]) * np.hanning(_WINDOW)
    power = np.abs(np.fft.rfft(windows, 2 * _WINDOW)) ** 2
    repeats = np.fft.irfft(power)[:, SAMPLE_RATE // _HIGHEST_HZ : SAMPLE_RATE // _LOWEST_HZ]
    return np.log(SAMPLE_RATE / (SAMPLE_RATE // _HIGHEST_HZ + repeats.argmax(1)))


def emotion_agreement(arousal: np.ndarray, movement: np.ndarray, fps: float) -> float:
    """Correlation of vocal arousal and movement of the picture over windows of a quarter second.

    Args:
        arousal: Result of ``vocal_arousal``, (T,).
        movement: Change of the picture after each frame, (F - 1,).
        fps: Frames per second.

    Returns:
        Correlation in [-1, 1]; 0 if the picture is still.
    """
    seconds = min(len(arousal) / MEL_RATE, len(movement) / fps)
    count = int(seconds / _AROUSAL_SECONDS)
    if count < 3 or np.std(movement) < _STILL:
        return 0.0
    edges = np.arange(count + 1) * _AROUSAL_SECONDS
    return correlation(_means(arousal, edges * MEL_RATE), _means(movement, edges * fps))


def _means(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Mean of the values between consecutive edges, of at least one value."""
    places = edges.astype(int)
    return np.array([values[a : max(b, a + 1)].mean() for a, b in pairwise(places)])
