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
    """Speech fields of ``Conditions``; excluded from compilation because it processes strings.

    Args:
        settings: Pass settings with the texts of each track.
        config: Text settings of the model.
        voice_frames: Mel frames of the reference voice before the clip.
        batch: Number of clips; all have the same speech.
        device: Device of the tensors.

    Returns:
        ``speech_ids`` and ``speech_positions``, (B * K, L), and ``speech_lengths``, (B * K,), or None for one track,
        whose characters all count.
    """
    texts = [spoken_text(speech) for speech in settings.speeches]
    fields = {name: value.to(device) for name, value in speech_tensors(texts, config, voice_frames).items()}
    lengths = fields.pop("speech_lengths")
    repeated = {name: value.repeat(batch, 1) for name, value in fields.items()}
    return repeated | {"speech_lengths": lengths.repeat(batch) if len(texts) > 1 else None}


def spoken_text(speech: Speech) -> SpokenText:
    """Speech of a track with its times in mel frames."""
    return SpokenText(speech.text, MEL_RATE * speech.start, speech.voice_text, speech.kept_text)
