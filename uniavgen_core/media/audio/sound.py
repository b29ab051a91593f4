"""A user's sound, and its way to the network: one channel at 24 kHz, then the mel of a clip.

Nothing here changes a waveform in place.

Dimension key: C channels, N samples, S mel frames.
"""

from dataclasses import dataclass
from fractions import Fraction

import torch
import torchaudio
from torch import Tensor

from ...shapes import HOP_LENGTH, SAMPLE_RATE, mel_frames_of
from .mel import check_sound, gain_to_peak, normalized_mel

LOWEST_RATE = 1_000
_LARGEST_TERM = 1_000


@dataclass(frozen=True)
class Sound:
    """Sound as a user has it.

    Attributes:
        waveform: Samples, usually in [-1, 1], (C, N) float32.
        sample_rate: Hz.

    Raises:
        ValueError: If the waveform is not (C, N).
    """

    waveform: Tensor
    sample_rate: int

    def __post_init__(self) -> None:
        if self.waveform.ndim != 2:
            raise ValueError(f"The waveform has shape {tuple(self.waveform.shape)}; audio is (channels, samples).")

    @property
    def samples(self) -> int:
        """Number of samples N."""
        return self.waveform.shape[1]

    @property
    def seconds(self) -> float:
        """Length, seconds."""
        return self.samples / self.sample_rate


def cut(sound: Sound, start_seconds: float, stop_seconds: float) -> Sound:
    """Take a part of a sound without copying it.

    Args:
        sound: Any sound.
        start_seconds: Where the part begins, at least 0.
        stop_seconds: Where it ends; beyond the end it ends with the sound.

    Returns:
        The part; its samples are a view of those given.

    Raises:
        ValueError: If the part holds no sample.
    """
    first = round(start_seconds * sound.sample_rate)
    stop = round(min(stop_seconds, sound.seconds) * sound.sample_rate)
    if first < 0 or stop <= first:
        raise ValueError(
            f"There is no audio from {start_seconds:g} to {stop_seconds:g} s: the audio lasts from 0 to "
            f"{sound.seconds:g} s. Choose a part inside it."
        )
    return Sound(sound.waveform[:, first:stop], sound.sample_rate)


def mel_of(sound: Sound, video_frames: int, gain: float | None = None) -> tuple[Tensor, float]:
    """Normalised mel of a clip, (S, 80), from a user's sound, and the gain that it was raised by.

    Args:
        sound: Any sound that ``check_user_sound`` accepts.
        video_frames: Length of the clip; where the sound ends earlier, silence follows it.
        gain: Factor from the sound's level to the network's; None for the one that its peak asks for.
    """
    waveform = to_model_sound(sound)
    gain = gain_to_peak(float(waveform.abs().max())) if gain is None else gain
    fitted = torch.zeros(mel_frames_of(video_frames) * HOP_LENGTH)
    length = min(len(fitted), len(waveform))
    fitted[:length] = gain * waveform[:length]
    return normalized_mel(fitted), gain


def to_model_sound(sound: Sound) -> Tensor:
    """Mix a sound down and bring it to the network's rate, (N,) float32 at 24 kHz. Cut a long sound first.

    Raises:
        ValueError: If the sound is empty or not finite, or its rate is below 1000 Hz.
    """
    return resample(mix_down(sound.waveform).float(), sound.sample_rate)


def at_rate(sound: Sound, sample_rate: int) -> Sound:
    """Resample a sound to any rate, with its channels.

    Args:
        sound: Any sound.
        sample_rate: New rate, Hz.

    Returns:
        The sound at the new rate, ceil(N * new / old) samples long; the same one if it has that rate.
    """
    return Sound(resample(sound.waveform, sound.sample_rate, sample_rate), sample_rate)


def mix_down(waveform: Tensor) -> Tensor:
    """Mix all channels of samples (..., C, N) into one: their mean, so that what is said on one side only is kept.

    Raises:
        ValueError: If there is no channel axis, or the waveform is empty, not floating point or not finite.
    """
    check_sound(waveform)
    if waveform.ndim < 2:
        raise ValueError(f"The waveform has shape {tuple(waveform.shape)}; it needs channels, (..., C, N).")
    return waveform.mean(-2)


def resample(waveform: Tensor, sample_rate: int, target_rate: int = SAMPLE_RATE) -> Tensor:
    """Bring sound to another rate, 24 kHz if none is named.

    Args:
        waveform: Samples at ``sample_rate``, (..., N).
        sample_rate: Hz, at least 1000.
        target_rate: The new rate, Hz.

    Returns:
        Samples, (..., ceil(N * target_rate / sample_rate)), the same tensor if it has that rate already.

    Raises:
        ValueError: If the rate is below 1000 Hz, or the waveform is empty, not floating point or not finite.
    """
    check_sound(waveform)
    if sample_rate < LOWEST_RATE:
        raise ValueError(f"sample_rate is {sample_rate} Hz; it must be at least {LOWEST_RATE}.")
    # Every usual rate is a ratio of small numbers; for a rate such as 44101 Hz the nearest one (1 us off in a second)
    # spares a filter bank of a billion taps.
    ratio = Fraction(sample_rate, target_rate).limit_denominator(_LARGEST_TERM)
    return torchaudio.functional.resample(waveform, ratio.numerator, ratio.denominator)


def peak_of(sound: Sound) -> float:
    """Loudest sample of a sound once it is mixed down."""
    return float(mix_down(sound.waveform).abs().max())
