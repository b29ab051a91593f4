"""Sound of any rate and any number of channels to the network's: 24 kHz, one channel.

Dimension key: C channels, N samples.
"""

from fractions import Fraction

import torchaudio
from torch import Tensor

from ..shapes import SAMPLE_RATE
from .mel import check_sound

LOWEST_RATE = 1_000
_LARGEST_TERM = 1_000


def mix_down(waveform: Tensor) -> Tensor:
    """Mix all channels into one: their mean, so that what is said on one side only is kept.

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


def resample(waveform: Tensor, sample_rate: int) -> Tensor:
    """Bring sound to 24 kHz.

    Args:
        waveform: Samples at ``sample_rate``, (..., N).
        sample_rate: Hz, at least 1000.

    Returns:
        Samples at 24 kHz, (..., ceil(N * 24000 / sample_rate)), the same tensor if the rate is 24 kHz already.

    Raises:
        ValueError: If the rate is below 1000 Hz, or the waveform is empty, not floating point or not finite.
    """
    check_sound(waveform)
    if sample_rate < LOWEST_RATE:
        raise ValueError(f"sample_rate is {sample_rate} Hz; it must be at least {LOWEST_RATE}.")
    # Every usual rate is a ratio of small numbers; for a rate such as 44101 Hz the nearest one (1 us off in a second)
    # spares a filter bank of a billion taps.
    ratio = Fraction(sample_rate, SAMPLE_RATE).limit_denominator(_LARGEST_TERM)
    return torchaudio.functional.resample(waveform, ratio.numerator, ratio.denominator)
