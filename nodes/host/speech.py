"""The speech text of a pass as the network reads it: characters, how many count, and where they are expected.

Dimension key: B batch, K audio tracks, L characters.
"""

from functools import lru_cache

import torch
from torch import Tensor

from ...uniavgen_core.config import TextConfig
from ...uniavgen_core.shapes import MEL_RATE
from ...uniavgen_core.text.placement import Passage, character_positions
from ...uniavgen_core.text.tokenize import NULL_SPEECH, join_reference, pad_speech_ids, speech_ids
from ...uniavgen_core.text.vocabulary import FILLER
from .conditions import Pass, Speech

spell = lru_cache(maxsize=64)(speech_ids)


@torch.compiler.disable
def speech_tensors(
    run: Pass, config: TextConfig, voice_frames: int, batch: int, device: torch.device
) -> dict[str, Tensor | None]:
    """Speech fields of ``Conditions``; never compiled, since it reads text.

    Args:
        run: What each track says.
        config: The model's.
        voice_frames: Mel frames of the reference voice before the clip.
        batch: Clips in the batch; all say the same.
        device: Where the tensors live.

    Returns:
        ``speech_ids`` and ``speech_positions``, (B * K, L), and ``speech_lengths``, (B * K,), or None for one track,
        which sees all its characters.
    """
    ids = [characters_of(speech) for speech in run.speeches]
    places = [_places(speech, len(row), config, voice_frames) for speech, row in zip(run.speeches, ids, strict=True)]
    longest = max(map(len, ids))
    filled = [[*row, *[FILLER] * (longest - len(row))] for row in ids]
    spaced = [[*row, *[0.0] * (longest - len(row))] for row in places]
    lengths = torch.tensor([len(row) for row in ids], device=device)
    return {
        "speech_ids": torch.tensor(filled, device=device).repeat(batch, 1),
        "speech_positions": torch.tensor(spaced, device=device).repeat(batch, 1),
        "speech_lengths": lengths.repeat(batch) if len(ids) > 1 else None,
    }


def characters_of(speech: Speech) -> tuple[int, ...]:
    """Characters of a track's text, those of what is given before it first, -1 for filler."""
    text = _given(speech) + (speech.text or "")
    return pad_speech_ids(spell(text)) if text else NULL_SPEECH


def _given(speech: Speech) -> str:
    """What is heard before the text: the reference voice's words, then those of the kept sound, a space after each."""
    return join_reference(speech.voice_text, join_reference(speech.kept_text, ""))


def _places(speech: Speech, characters: int, config: TextConfig, voice_frames: int) -> tuple[float, ...]:
    """Expected mel frame of each character: the reference voice's from the start, the clip's after it."""
    voice = len(spell(join_reference(speech.voice_text, ""))) if speech.voice_text else 0
    given = len(spell(_given(speech))) if _given(speech) else 0
    passages = [
        Passage(voice),
        Passage(given - voice, voice_frames),
        Passage(characters - given, voice_frames + MEL_RATE * speech.start),
    ]
    return character_positions(passages, config)
