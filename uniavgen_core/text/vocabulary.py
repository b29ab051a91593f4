"""Vocabulary of the speech text: 2545 characters and syllables; entry 0 is the space.

The table ``vocab.txt`` is F5-TTS's, one entry a line; see THIRD_PARTY_NOTICES.md.
Source: the ``f5-tts`` package (Chen et al., arXiv:2410.06885), the vocabulary UniAVGen was trained with.
"""

from functools import lru_cache
from pathlib import Path

UNKNOWN = 0
FILLER = -1


@lru_cache(maxsize=1)
def vocabulary() -> dict[str, int]:
    """Token id of every known character and syllable. Shared by all callers: do not write to it."""
    table = Path(__file__).with_name("vocab.txt").read_text(encoding="utf-8")
    return {entry: number for number, entry in enumerate(table.splitlines())}
