"""A user's sound: validation, cutting, and conversion to the network's 24 kHz mono.

No function changes a waveform in place. Validating a long sound takes one pass and no copy of it.

Dimension key: C channels, N samples.
"""

from dataclasses import dataclass
from math import isfinite

import torch
from torch import Tensor

from .mel import SILENT_PEAK
from .resample import LOWEST_RATE, mix_down, resample

SHORTEST_SECONDS = 0.05
LONG_SECONDS = 300.0
_FULL_SCALE = 0.9999
_OVER = 1.0001
_CLIPPED_SHARE = 1e-4
_CANCELLED = 1e-3  # Power after mixing down, as a share of the loudest channel's: -30 dB.
_NARROW_HZ = 4_000
_NARROW_MARGIN = 1.15  # A resampler leaves some power just above the limit.
_NARROW_SHARE = 1e-4  # Recorded speech has a share of 5e-3 or more, speech resampled from 8 kHz one of 2e-5.
_LOOK_SECONDS = 10.0
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Sound:
    """Audio at any sample rate with any number of channels.

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
            raise ValueError(f"The waveform has shape {tuple(self.waveform.shape)}; a sound is (channels, samples).")

    @property
    def samples(self) -> int:
        """Number of samples N."""
        return self.waveform.shape[1]

    @property
    def seconds(self) -> float:
        """Length, seconds."""
        return self.samples / self.sample_rate


@dataclass(frozen=True)
class _Levels:
    """Statistics of a waveform: its lowest and highest sample, and the number of samples clipped at full scale."""

    lowest: float
    highest: float
    flat: int


def check_user_sound(sound: Sound, label: str) -> list[str]:
    """Reject sound that cannot be used, and collect notices about sound that can.

    Args:
        sound: A user's sound.
        label: Its name in messages, such as ``"the reference voice"``.

    Returns:
        Notices for the user, whole sentences; none for ordinary sound.

    Raises:
        ValueError: If the sound is empty, shorter than 0.05 s, not floating point, not finite, or below 1000 Hz.
    """
    if sound.sample_rate < LOWEST_RATE:
        raise ValueError(
            f"The sample rate of {label} is {sound.sample_rate} Hz; it must be at least {LOWEST_RATE}. "
            "Check the node that loaded it."
        )
    _check_length(sound, label)
    if not sound.waveform.is_floating_point():
        raise ValueError(
            f"The samples of {label} are {sound.waveform.dtype}; they must be floating point, in [-1, 1]. "
            "Divide them by their full scale."
        )
    levels = _levels(sound.waveform)
    if not (isfinite(levels.lowest) and isfinite(levels.highest)):
        raise ValueError(_not_finite_message(sound, label))
    return _notices(sound, label, levels)


def cut(sound: Sound, start_seconds: float, stop_seconds: float) -> Sound:
    """Take a part of a sound without copying it.

    Args:
        sound: Any sound.
        start_seconds: Start of the part, at least 0.
        stop_seconds: End of the part; limited to the end of the sound.

    Returns:
        The part; its waveform is a view.

    Raises:
        ValueError: If the part holds no sample.
    """
    first = round(start_seconds * sound.sample_rate)
    stop = round(min(stop_seconds, sound.seconds) * sound.sample_rate)
    if first < 0 or stop <= first:
        raise ValueError(
            f"There is no sound from {start_seconds:g} to {stop_seconds:g} s: the sound lasts from 0 to "
            f"{sound.seconds:g} s. Choose a part inside it."
        )
    return Sound(sound.waveform[:, first:stop], sound.sample_rate)


def to_model_sound(sound: Sound) -> Tensor:
    """Mix a sound down and resample it to 24 kHz. Cut a long sound first.

    Args:
        sound: Any sound that ``check_user_sound`` accepts.

    Returns:
        Samples at 24 kHz, (N,) float32.

    Raises:
        ValueError: If the sound is empty or not finite, or its rate is below 1000 Hz.
    """
    return resample(mix_down(sound.waveform).float(), sound.sample_rate)


def at_rate(sound: Sound, sample_rate: int) -> Sound:
    """Resample a sound, keeping its channels.

    Args:
        sound: Any sound.
        sample_rate: New rate, Hz.

    Returns:
        The sound at the new rate, ceil(N * new / old) samples long; unchanged if it already has that rate.
    """
    return Sound(resample(sound.waveform, sound.sample_rate, sample_rate), sample_rate)


def _check_length(sound: Sound, label: str) -> None:
    """Reject sound that is empty or too short to be audible."""
    if sound.waveform.numel() == 0:
        raise ValueError(f"{_title(label)} is empty: it has no samples. Check the node or the file it comes from.")
    if sound.seconds < SHORTEST_SECONDS:
        count = "1 sample" if sound.samples == 1 else f"{sound.samples} samples"
        raise ValueError(
            f"{_title(label)} has {count}, {sound.seconds:.4f} s; it must last at least {SHORTEST_SECONDS:g} s."
        )


def _levels(waveform: Tensor) -> _Levels:
    """Compute the statistics of a waveform block by block."""
    lowest, highest, flat = [], [], 0
    for block in waveform.split(_BLOCK, dim=1):
        low, high = block.aminmax()
        lowest.append(low)
        highest.append(high)
        if max(-low, high) >= _FULL_SCALE:
            ahead, behind = block[:, 1:], block[:, :-1]
            flat += int(((ahead == behind) & (ahead.abs() >= _FULL_SCALE)).sum())
    return _Levels(float(torch.stack(lowest).amin()), float(torch.stack(highest).amax()), flat)


def _not_finite_message(sound: Sound, label: str) -> str:
    """Message that names the place of the first value that is not finite."""
    start = 0
    for block in sound.waveform.split(_BLOCK, dim=1):
        bad = (~torch.isfinite(block)).nonzero()
        if len(bad):
            channel, sample = bad[bad[:, 1].argmin()].tolist()
            seconds = (start + sample) / sound.sample_rate
            value = "NaN" if block[channel, sample].isnan() else "infinity"
            return (
                f"{_title(label)} holds {value} at {seconds:.3f} s in channel {channel + 1}. "
                "The node before it made samples that are not numbers; load the sound again, or leave that node out."
            )
        start += block.shape[1]
    raise AssertionError("every value is finite")


def _notices(sound: Sound, label: str, levels: _Levels) -> list[str]:
    """Notices about the flaws of a sound that can be used."""
    name, notices = _title(label), []
    peak = max(-levels.lowest, levels.highest)
    silent = levels.highest - levels.lowest < 2 * SILENT_PEAK
    if silent:
        notices.append(f"{name} is silent: nothing in it is louder than 1/10000 of full scale.")
    if peak > _OVER:
        notices.append(f"{name} goes above full scale: its loudest sample is {peak:.2f}. It may sound distorted.")
    elif levels.flat > _CLIPPED_SHARE * sound.waveform.numel():
        notices.append(f"{name} is clipped: {levels.flat} samples are cut off at full scale. It may sound distorted.")
    if not silent:
        notices.extend(_channel_notices(sound, name))
    if sound.seconds > LONG_SECONDS:
        notices.append(f"{name} is {sound.seconds / 60:.0f} minutes long; only the part that the clip needs is used.")
    return notices


def _channel_notices(sound: Sound, name: str) -> list[str]:
    """Notices about cancelling channels and narrow bandwidth, from at most 10 s in the middle of a sound."""
    middle = sound.seconds / 2
    part = cut(sound, max(0.0, middle - _LOOK_SECONDS / 2), middle + _LOOK_SECONDS / 2).waveform.float()
    mixed, loudest = part.mean(0), part.square().mean(1).max()
    if mixed.square().mean() < _CANCELLED * loudest:
        return [
            f"The channels of {name[0].lower()}{name[1:]} cancel each other when mixed down. Give one channel only."
        ]
    if _share_above(mixed, sound.sample_rate) < _NARROW_SHARE:
        return [
            f"{name} has nothing above {_NARROW_HZ // 1000} kHz, like a telephone call. It is used as it is; audio "
            "generated from it may sound dull."
        ]
    return []


def _share_above(waveform: Tensor, sample_rate: int) -> float:
    """Share of the power of a waveform (N,) that lies clearly above 4 kHz."""
    window = torch.hann_window(len(waveform), device=waveform.device)
    power = torch.fft.rfft((waveform - waveform.mean()) * window).abs().square()
    first = int(_NARROW_MARGIN * _NARROW_HZ * len(waveform) / sample_rate)
    return float(power[first:].sum() / power.sum().clamp(min=torch.finfo(power.dtype).tiny))


def _title(label: str) -> str:
    return label[:1].upper() + label[1:]
