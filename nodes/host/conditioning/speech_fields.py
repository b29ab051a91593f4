"""The speech texts of a pass as tensors on the network's device.

Dimension key: B batch, K audio tracks, L characters.
"""

import torch
from torch import Tensor

from ....uniavgen_core.config import TextConfig
from ....uniavgen_core.shapes import MEL_RATE
from ....uniavgen_core.text.speech_tensors import SpokenText, speech_tensors
from .pass_settings import PassSettings, Speech


@torch.compiler.disable
def speech_fields(
    settings: PassSettings, config: TextConfig, voice_frames: int, batch: int, device: torch.device
) -> dict[str, Tensor | None]:
    """Speech fields of ``Conditions``; never compiled, since it reads text.

    Args:
        settings: The texts of each track.
        config: The model's text settings.
        voice_frames: Mel frames of the reference voice before the clip.
        batch: Clips in the batch; all say the same.
        device: Device of the tensors.

    Returns:
        ``speech_ids`` and ``speech_positions``, (B * K, L), and ``speech_lengths``, (B * K,), or None for one track,
        which sees all its characters.
    """
    texts = [spoken_text(speech) for speech in settings.speeches]
    fields = {name: value.to(device) for name, value in speech_tensors(texts, config, voice_frames).items()}
    lengths = fields.pop("speech_lengths")
    repeated = {name: value.repeat(batch, 1) for name, value in fields.items()}
    return repeated | {"speech_lengths": lengths.repeat(batch) if len(texts) > 1 else None}


def spoken_text(speech: Speech) -> SpokenText:
    """A track's speech in the network's units."""
    return SpokenText(speech.text, MEL_RATE * speech.start, speech.voice_text, speech.kept_text)
