"""Loudness of generated sound, controlled in one place: a single gain for a clip, or a limiter beside given sound.

A mel fixes magnitudes, not phases, so sound made from it is as loud as what the mel says, but may peak far above full
scale. Sound is therefore worked with at its mel's own level, whatever the peak, and comes under the ceiling once, where
it is shown or saved: peaks that are cut off would be heard.

Measured on clips of the bundled model: brought to the ceiling, they differ in loudness (ITU-R BS.1770) by 2.4 LU, so
the peak alone decides. AAC raises their peaks by at most 0.3 dB at 66 and 128 kb/s, mono and stereo, 24 and 48 kHz, by
0.8 dB at 32 and 64 kb/s; of noise, as a model makes in two steps, by 2.4 dB.

Dimension key: B clips, C channels, N samples.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

CEILING_DB = -3.0
"""Highest peak of generated sound, dB of full scale: lossy codecs raise peaks, and 1 dB is to stay free after that."""
CEILING = 10 ** (CEILING_DB / 20)
LOOK_SECONDS = 0.02
"""How far to either side of a peak the limiter lowers its gain.

Longer than a voice's period, so that the gain does not follow the wave; shorter than a syllable.
"""


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
