"""Loudness of generated sound, controlled in one place: a single gain for a clip, or a limiter beside given sound.

A mel fixes magnitudes, not phases, so sound made from it is as loud as what the mel says, but may peak far above full
scale. Sound is therefore worked with at its mel's own level, whatever the peak, and comes under the ceiling once, where
it is shown or saved: peaks that are cut off would be heard.

Measured on clips of the bundled model: brought to the ceiling, they differ in loudness (ITU-R BS.1770) by 2.4 LU, so
the peak alone decides. AAC raises their peaks by at most 0.3 dB at 66 and 128 kb/s, mono and stereo, 24 and 48 kHz, by
0.8 dB at 32 and 64 kb/s; of noise, as a model makes in two steps, by 2.4 dB.

Dimension key: B clips, C channels, N samples.
"""

from collections.abc import Sequence
from math import isfinite, log10
from statistics import median

import torch
import torch.nn.functional as F
from torch import Tensor
from torchaudio.functional import loudness

CEILING_DB = -3.0
"""Highest peak of generated sound, dB of full scale: lossy codecs raise peaks, and 1 dB is to stay free after that."""
CEILING = 10 ** (CEILING_DB / 20)
LOOK_SECONDS = 0.02
"""Time to either side of a peak over which the limiter lowers its gain.

Longer than a voice's period, so that the gain does not follow the wave; shorter than a syllable.
"""

LARGEST_GAIN_DB = 12.0
"""Most that one part of a film is raised or lowered to the level of the others."""
_SHORTEST_SECONDS = 0.4  # The block that loudness is measured in.
_HEADROOM = 0.1


def equal_loudness_gains(parts: Sequence[Tensor], sample_rate: int) -> list[float]:
    """Gains that bring the parts of one film to the median of their loudness.

    Args:
        parts: What each part has of its own, at any level, (N_i,) each.
        sample_rate: Hz.

    Returns:
        A factor for each part; 1 for one that is silent or shorter than 0.4 s, and where no other is heard.

    Source: ITU-R BS.1770, gated, so that pauses do not count.
    """
    levels = [_loudness(part, sample_rate) for part in parts]
    heard = [level for level in levels if level is not None]
    if not heard:
        return [1.0] * len(levels)
    target = median(heard)
    steps = [0.0 if level is None else target - level for level in levels]
    return [10 ** (min(max(step, -LARGEST_GAIN_DB), LARGEST_GAIN_DB) / 20) for step in steps]


def _loudness(part: Tensor, sample_rate: int) -> float | None:
    """Loudness of sound (N,), LUFS; None where there is too little to measure."""
    peak = float(part.abs().max()) if part.numel() else 0.0
    if peak == 0 or len(part) < _SHORTEST_SECONDS * sample_rate:
        return None
    # torchaudio's filters clamp to full scale, which a part may exceed and its filtered form even more.
    level = float(loudness(part[None].float() * (_HEADROOM / peak), sample_rate)) + 20 * log10(peak / _HEADROOM)
    return level if isfinite(level) else None


def under_ceiling(clips: Tensor) -> Tensor:
    """Attenuate each clip whose peak is above the ceiling, by one gain for its whole length and all its channels.

    Args:
        clips: Generated sound at any level, (B, C, N).

    Returns:
        The same with peaks of at most ``CEILING``; clips that have them already stay as they are.
    """
    peak = clips.abs().amax((1, 2), keepdim=True)
    return torch.where(peak > CEILING, clips * (CEILING / peak), clips)


def limited(waveform: Tensor, sample_rate: int) -> Tensor:
    """Lower sound around its peaks only, where its level must stay that of the given sound beside it.

    The gain of a sample is a mean, weighted by a Hann window, of the lowest gain that any sample within
    ``LOOK_SECONDS`` of each place needs; so it begins to fall before a peak, and no peak gets a higher gain than it
    needs.

    Args:
        waveform: Generated sound at any level, (C, N).
        sample_rate: Hz.

    Returns:
        The same with peaks of at most ``CEILING``; all channels have the same gain.
    """
    if waveform.numel() == 0 or waveform.abs().max() <= CEILING:
        return waveform
    reach = max(1, round(LOOK_SECONDS * sample_rate))
    needed = CEILING / waveform.abs().amax(0).clamp(min=CEILING)
    needed = F.pad(needed[None, None], (2 * reach, 2 * reach), value=1.0)
    lowest = -F.max_pool1d(-needed, 2 * reach + 1, stride=1)
    window = torch.hann_window(2 * reach + 3, periodic=False, dtype=waveform.dtype, device=waveform.device)[1:-1]
    gain = F.conv1d(lowest, (window / window.sum())[None, None])[0]
    return waveform * gain
