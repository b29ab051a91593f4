"""Loudness of generated sound: one gain for a whole clip, or a limiter next to sound that is kept.

A mel spectrogram fixes magnitudes, not phases, so a vocoded waveform has the mel's loudness but may peak far above full
scale. The waveform stays at that level, whatever its peak, and is brought under the ceiling once, where it is previewed
or saved, because clipping is audible.

Measured on clips of the bundled model: at the ceiling, they differ in loudness (ITU-R BS.1770) by 2.4 LU, so the gain
follows the peak alone. AAC raises their peaks by at most 0.3 dB at 66 and 128 kb/s, mono and stereo, 24 and 48 kHz, and
by 0.8 dB at 32 and 64 kb/s; those of noise, which a model generates in two steps, by 2.4 dB.

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
"""Highest peak of generated sound, dB of full scale. Lossy codecs raise peaks; 1 dB of headroom remains after that."""
CEILING = 10 ** (CEILING_DB / 20)
LOOK_SECONDS = 0.02
"""Time on either side of a peak over which the limiter lowers its gain, seconds.

Longer than the period of a voice, so that the gain does not follow the waveform, and shorter than a syllable.
"""

LARGEST_GAIN_DB = 12.0
"""Largest gain, up or down, that brings one segment to the level of the others, dB."""
_SHORTEST_SECONDS = 0.4  # The measurement block of BS.1770.
_HEADROOM = 0.1


def equal_loudness_gains(parts: Sequence[Tensor], sample_rate: int) -> list[float]:
    """Gains that bring the segments of one video to the median of their loudness.

    Args:
        parts: Waveform of each segment without what it shares with others, at any level, (N_i,) each.
        sample_rate: Hz.

    Returns:
        A factor for each segment; 1 for one that is silent or shorter than 0.4 s, or if no other is audible.

    Source: ITU-R BS.1770, gated, so that pauses do not count.
    """
    levels = [_loudness(part, sample_rate) for part in parts]
    measured = [level for level in levels if level is not None]
    if not measured:
        return [1.0] * len(levels)
    target = median(measured)
    steps = [0.0 if level is None else target - level for level in levels]
    return [10 ** (min(max(step, -LARGEST_GAIN_DB), LARGEST_GAIN_DB) / 20) for step in steps]


def _loudness(part: Tensor, sample_rate: int) -> float | None:
    """Loudness of a waveform (N,), LUFS; None if there is too little to measure."""
    peak = float(part.abs().max()) if part.numel() else 0.0
    if peak == 0 or len(part) < _SHORTEST_SECONDS * sample_rate:
        return None
    # The filters of torchaudio clamp to full scale, which a segment may exceed, and more so after filtering.
    level = float(loudness(part[None].float() * (_HEADROOM / peak), sample_rate)) + 20 * log10(peak / _HEADROOM)
    return level if isfinite(level) else None


def under_ceiling(clips: Tensor) -> Tensor:
    """Attenuate each clip (B, C, N) whose peak is above the ceiling, by one gain for all its samples and channels."""
    peak = clips.abs().amax((1, 2), keepdim=True)
    return torch.where(peak > CEILING, clips * (CEILING / peak), clips)


def limited(waveform: Tensor, sample_rate: int) -> Tensor:
    """Limit a waveform around its peaks, so that elsewhere its level still matches the kept sound next to it.

    The gain is the minimum over ``LOOK_SECONDS`` on either side of the gain that each sample needs, smoothed by a Hann
    window of the same reach. It begins to fall before a peak, and never exceeds the gain that a peak needs.

    Args:
        waveform: Generated waveform at any level, (C, N).
        sample_rate: Hz.

    Returns:
        The waveform with peaks of at most ``CEILING``; all channels have the same gain.
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
