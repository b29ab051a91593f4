"""Speech texts of a batch as tensors: token ids, lengths and expected positions.

Dimension key: N texts (clips, or audio tracks of all clips), L characters.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypedDict

import torch
from torch import Tensor

from ..config import TextConfig
from .tokenize import FILLER, NULL_SPEECH, join_reference, pad_speech_ids, speech_ids

cached_speech_ids = lru_cache(maxsize=4096)(speech_ids)


class SpeechFields(TypedDict):
    """Speech fields of ``Conditions``: characters and their positions, (N, L), and how many count, (N,)."""

    speech_ids: Tensor
    speech_positions: Tensor
    speech_lengths: Tensor | None


@dataclass(frozen=True)
class SpokenText:
    """Speech of one audio track.

    Attributes:
        text: The transcript; None for the null text.
        start: Start of the speech in the clip, mel frames.
        voice_transcript: Transcript of the reference voice; empty if there is none.
        kept_transcript: Transcript of the kept sound before the text; empty if there is none.
    """

    text: str | None
    start: float = 0.0
    voice_transcript: str = ""
    kept_transcript: str = ""

    @property
    def before(self) -> str:
        """Transcripts of the reference voice and of the kept sound, each followed by a space."""
        return join_reference(self.voice_transcript, join_reference(self.kept_transcript, ""))

    @property
    def ids(self) -> tuple[int, ...]:
        """Token ids, those of ``before`` first; -1 is filler."""
        text = self.before + (self.text or "")
        return pad_speech_ids(cached_speech_ids(text)) if text else NULL_SPEECH

    def positions(self, config: TextConfig, voice_frames: int) -> tuple[float, ...]:
        """Expected mel frame of each of ``ids``, the rotary position of its key.

        The released network numbers the characters and learned to read them at any rate. A network for one speaking
        rate expects each character at a mel frame, so a passage that begins later moves as a whole.

        Args:
            config: Spacing of the characters; with a scale of 1 they are numbered.
            voice_frames: Mel frames of the reference voice, after which the clip's begin.
        """
        offset, scale = config.position_offset, config.position_scale
        if config.places_words:
            return tuple(offset + i for i in range(len(self.ids)))
        voice = len(cached_speech_ids(join_reference(self.voice_transcript, ""))) if self.voice_transcript else 0
        before = len(cached_speech_ids(self.before)) if self.before else 0
        starts = (0.0, voice_frames, voice_frames + self.start)
        counts = (voice, before - voice, len(self.ids) - before)
        return tuple(
            start + offset + scale * i for start, count in zip(starts, counts, strict=True) for i in range(count)
        )


def speech_id_tensors(texts: Sequence[SpokenText], length: int = 0) -> tuple[Tensor, Tensor]:
    """Token ids padded to one length.

    Args:
        texts: The texts.
        length: Smallest padded length, characters.

    Returns:
        Token ids, (N, L), with -1 as filler, and the number of ids of each text that the network sees, (N,).
    """
    ids = [text.ids for text in texts]
    longest = max(length, *map(len, ids))
    padded = torch.tensor([[*row, *[FILLER] * (longest - len(row))] for row in ids])
    return padded, torch.tensor([len(row) for row in ids])


def speech_tensors(
    texts: Sequence[SpokenText], config: TextConfig, voice_frames: int = 0, length: int = 0
) -> SpeechFields:
    """Speech fields of ``Conditions``.

    Args:
        texts: The texts.
        config: The model's text settings.
        voice_frames: Mel frames of the reference voice before the clip, its silence included; 0 for none.
        length: Smallest padded length, characters.

    Returns:
        ``speech_ids`` and ``speech_positions``, (N, L), and ``speech_lengths``, (N,).
    """
    ids, lengths = speech_id_tensors(texts, length)
    positions = torch.zeros(ids.shape)
    for row, text in zip(positions, texts, strict=True):
        expected = text.positions(config, voice_frames)
        row[: len(expected)] = torch.tensor(expected)
    return {"speech_ids": ids, "speech_positions": positions, "speech_lengths": lengths}
