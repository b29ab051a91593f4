"""The speech texts of a pass as tensors on the network's device.

Dimension key: B batch, K audio tracks, L characters.
"""

import torch

from ....uniavgen_core.config import TextConfig
from ....uniavgen_core.layers.compiling import never_compiled
from ....uniavgen_core.shapes import MEL_RATE
from ....uniavgen_core.text.speech_tensors import SpeechFields, SpokenText, speech_tensors
from .pass_settings import PassSettings


@never_compiled
def speech_fields(
    settings: PassSettings, config: TextConfig, voice_frames: int, batch: int, device: torch.device
) -> SpeechFields:
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
    texts = [
        SpokenText(speech.text, MEL_RATE * speech.start, speech.voice_transcript, speech.kept_transcript)
        for speech in settings.speeches
    ]
    fields, lengths = speech_tensors(texts, config, voice_frames), None
    if len(texts) > 1 and fields["speech_lengths"] is not None:
        lengths = fields["speech_lengths"].to(device).repeat(batch)
    return {
        "speech_ids": fields["speech_ids"].to(device).repeat(batch, 1),
        "speech_positions": fields["speech_positions"].to(device).repeat(batch, 1),
        "speech_lengths": lengths,
    }
