"""Resampling and mixing down: audio of any rate and any number of channels to 24 kHz mono, and back.

Dimension key: C channels, N samples.
"""

from fractions import Fraction

import torchaudio
from torch import Tensor

from ...shapes import SAMPLE_RATE
from .mel import check_sound

LOWEST_RATE = 1_000
_LARGEST_TERM = 1_000


def mix_down(waveform: Tensor) -> Tensor:
    """Mix all channels into one by their mean, so that speech in a single channel is kept.

    Args:
        waveform: Samples, (..., C, N).

    Returns:
        Samples, (..., N).

    Raises:
        ValueError: If there is no channel axis, or the waveform is empty, not floating point or not finite.
    """
    check_sound(waveform)
    if waveform.ndim < 2:
        raise ValueError(f"The waveform has shape {tuple(waveform.shape)}; it needs channels, (..., C, N).")
    return waveform.mean(-2)


def resample(waveform: Tensor, sample_rate: int, target_rate: int = SAMPLE_RATE) -> Tensor:
    """Resample a waveform, by default to 24 kHz.

    Args:
        waveform: Samples at ``sample_rate``, (..., N).
        sample_rate: Hz, at least 1000.
        target_rate: The new rate, Hz.

    Returns:
        Samples, (..., ceil(N * target_rate / sample_rate)); the same tensor if it already has that rate.

    Raises:
        ValueError: If the rate is below 1000 Hz, or the waveform is empty, not floating point or not finite.
    """
    check_sound(waveform)
    if sample_rate < LOWEST_RATE:
        raise ValueError(f"sample_rate is {sample_rate} Hz; it must be at least {LOWEST_RATE}.")
    # All common rates have small ratios. For a rate such as 44101 Hz, the nearest small ratio (off by 1 us in a second)
    # avoids a filter bank of a billion taps.
    ratio = Fraction(sample_rate, target_rate).limit_denominator(_LARGEST_TERM)
    return torchaudio.functional.resample(waveform, ratio.numerator, ratio.denominator)
