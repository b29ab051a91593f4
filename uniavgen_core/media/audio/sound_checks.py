"""Checks of a user's sound: what cannot be used is refused, and what is odd is said.

Looking a long sound through costs one pass and no copy of it.

Dimension key: C channels, N samples.
"""

from math import isfinite

import torch
from torch import Tensor

from ..sentence_subject import subject
from .mel import SILENT_PEAK
from .sound import LOWEST_RATE, Sound, cut

SHORTEST_SECONDS = 0.05
LONG_SECONDS = 300.0
MOST_CHANNELS = 8
"""Channels that FLAC and AAC hold."""
HIGHEST_PEAK = 1000.0
"""Peak above which samples cannot be meant as they are: integers that were not divided by their full scale."""
_FULL_SCALE = 0.9999
_OVER = 1.0001
_CLIPPED_SHARE = 1e-4
_CANCELLED = 1e-3  # Power left after mixing down, as a share of the loudest channel's: -30 dB.
_NARROW_HZ = 4_000
_NARROW_MARGIN = 1.15  # What a resampler leaves just above the limit does not count.
_NARROW_SHARE = 1e-4  # Of recorded speech 5e-3 and more; of speech resampled from 8 kHz 2e-5.
_LOOK_SECONDS = 10.0
_BLOCK = 1 << 20


def check_user_sound(sound: Sound, what: str) -> list[str]:
    """Refuse sound that cannot be used, and say what is odd about sound that can.

    Args:
        sound: Any sound a user gave.
        what: What it is called in messages, such as ``"the reference voice"``.

    Returns:
        Notices for the user, whole sentences; none for ordinary sound.

    Raises:
        ValueError: If the sound is empty, shorter than 0.05 s, not floating point, not finite, below 1000 Hz, of more
            than 8 channels, or 60 dB above full scale.
    """
    if sound.sample_rate < LOWEST_RATE:
        raise ValueError(
            f"The sample rate of {what} is {sound.sample_rate} Hz; it must be at least {LOWEST_RATE}. "
            "Check the node that loaded it."
        )
    _check_length(sound, what)
    if not sound.waveform.is_floating_point():
        raise ValueError(
            f"The samples of {what} are {sound.waveform.dtype}; they must be floating point, in [-1, 1]. "
            "Divide them by their full scale."
        )
    levels = _levels(sound.waveform)
    if not (isfinite(levels[0]) and isfinite(levels[1])):
        raise ValueError(_where_not_finite(sound, what))
    if max(-levels[0], levels[1]) > HIGHEST_PEAK:
        raise ValueError(
            f"{subject(what)} reaches {max(-levels[0], levels[1]):.3g}, where full scale is 1. Divide its samples by "
            "their full scale, which is 32768 for 16 bits, in the node before."
        )
    return _notices(sound, what, *levels)


def _check_length(sound: Sound, what: str) -> None:
    """Refuse sound without samples, with too few to hear anything, or with more channels than a file holds."""
    if len(sound.waveform) > MOST_CHANNELS:
        raise ValueError(
            f"{subject(what)} has {len(sound.waveform)} channels; at most {MOST_CHANNELS} can be kept in a file. Mix "
            "some of them in the node before."
        )
    if sound.waveform.numel() == 0:
        raise ValueError(f"{subject(what)} is empty: it has no samples. Check the node or the file it comes from.")
    if sound.seconds < SHORTEST_SECONDS:
        count = "1 sample" if sound.samples == 1 else f"{sound.samples} samples"
        raise ValueError(
            f"{subject(what)} has {count}, {sound.seconds:.4f} s; it must last at least {SHORTEST_SECONDS:g} s."
        )


def _levels(waveform: Tensor) -> tuple[float, float, int]:
    """Lowest and highest sample, and the number clipped at full scale, in one pass block by block."""
    lowest, highest, flat = [], [], 0
    for block in waveform.split(_BLOCK, dim=1):
        low, high = block.aminmax()
        lowest.append(low)
        highest.append(high)
        if max(-low, high) >= _FULL_SCALE:
            ahead, behind = block[:, 1:], block[:, :-1]
            flat += int(((ahead == behind) & (ahead.abs() >= _FULL_SCALE)).sum())
    return float(torch.stack(lowest).amin()), float(torch.stack(highest).amax()), flat


def _where_not_finite(sound: Sound, what: str) -> str:
    """Say where the first value is that is not finite."""
    bad = ~torch.isfinite(sound.waveform)
    sample = int(bad.any(0).byte().argmax())
    channel = int(bad[:, sample].byte().argmax())
    value = "NaN" if sound.waveform[channel, sample].isnan() else "infinity"
    return (
        f"{subject(what)} holds {value} at {sample / sound.sample_rate:.3f} s in channel {channel + 1}. The node "
        "before it made samples that are not numbers; load the audio again, or leave that node out."
    )


def _notices(sound: Sound, what: str, lowest: float, highest: float, flat: int) -> list[str]:
    """Notices about a sound that is usable but unusual."""
    name, notices = subject(what), []
    peak = max(-lowest, highest)
    silent = highest - lowest < 2 * SILENT_PEAK
    if silent:
        notices.append(f"{name} is silent: nothing in it is louder than 1/10000 of full scale.")
    if peak > _OVER:
        notices.append(f"{name} goes above full scale: its loudest sample is {peak:.2f}. It may sound distorted.")
    elif flat > _CLIPPED_SHARE * sound.waveform.numel():
        notices.append(f"{name} is clipped: {flat} samples are cut off at full scale. It may sound distorted.")
    if not silent:
        notices.extend(_notices_of_a_part(sound, name))
    if sound.seconds > LONG_SECONDS:
        notices.append(f"{name} is {sound.seconds / 60:.0f} minutes long; only the part that the clip needs is used.")
    return notices


def _notices_of_a_part(sound: Sound, name: str) -> list[str]:
    """Notices about the channels and frequencies of the middle of a sound, 10 s at most."""
    middle = sound.seconds / 2
    part = cut(sound, max(0.0, middle - _LOOK_SECONDS / 2), middle + _LOOK_SECONDS / 2).waveform.float()
    mixed, loudest = part.mean(0), part.square().mean(1).max()
    if mixed.square().mean() < _CANCELLED * loudest:
        return [
            f"The channels of {name[0].lower()}{name[1:]} cancel each other when mixed down. Give one channel only."
        ]
    if _share_above(mixed, sound.sample_rate) < _NARROW_SHARE:
        return [
            f"{name} has nothing above {_NARROW_HZ // 1000} kHz, as on a telephone. It is used as it is; what is "
            "generated from it may sound dull."
        ]
    return []


def _share_above(waveform: Tensor, sample_rate: int) -> float:
    """Share of the power of sound (N,) that lies clearly above 4 kHz."""
    window = torch.hann_window(len(waveform), device=waveform.device)
    power = torch.fft.rfft((waveform - waveform.mean()) * window).abs().square()
    first = int(_NARROW_MARGIN * _NARROW_HZ * len(waveform) / sample_rate)
    return float(power[first:].sum() / power.sum().clamp(min=torch.finfo(power.dtype).tiny))
