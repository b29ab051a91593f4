"""The sound of a generated clip as a user gets it: vocoded, brought under the ceiling, and through the file's codec.

Dimension key: B clips, S mel frames, N samples.
"""

from io import BytesIO

import av
import torch
from torch import Tensor

from uniavgen_core.bundled.bundled_sound import vocode
from uniavgen_core.media.audio.sound_file import read_sound
from uniavgen_core.shapes import SAMPLE_RATE
from uniavgen_core.training.sample_clips import mux_sound


def played_sounds(audio: Tensor) -> Tensor:
    """Vocode normalised mels (B, S, 80), and encode and decode each sound as AAC, as in an MP4: (B, N) at 24 kHz."""
    return torch.stack([through_aac(waveform) for waveform in vocode(audio)])


def through_aac(waveform: Tensor) -> Tensor:
    """Encode a mono waveform (N,) at 24 kHz as AAC in an MP4, and decode it again, (N,)."""
    content = BytesIO()
    with av.open(content, "w", format="mp4") as file:
        mux_sound(file, file.add_stream("aac", rate=SAMPLE_RATE, layout="mono"), waveform.numpy(), SAMPLE_RATE)
    content.seek(0)
    decoded, _ = read_sound(content)
    return torch.nn.functional.pad(decoded, (0, max(0, len(waveform) - len(decoded))))[: len(waveform)]
