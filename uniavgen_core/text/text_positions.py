"""Rotary positions of the speech text's keys: the expected mel frame of every character.

The released network numbers the characters and learned to read them at any rate. A network for one speaking rate
expects each character at a mel frame, so a passage that begins later moves as a whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ..config import TextConfig


@dataclass(frozen=True)
class Passage:
    """Characters that are spoken without a gap.

    Attributes:
        characters: Number of characters.
        start: Start of their sound, mel frames from the start of the audio sequence, reference voice included.
    """

    characters: int
    start: float = 0.0


def character_positions(passages: Sequence[Passage], config: TextConfig) -> tuple[float, ...]:
    """Position of every character of consecutive passages.

    Args:
        passages: The parts of one speech text, in order.
        config: Spacing of the characters; with a scale of 1 they are numbered consecutively, wherever passages begin.

    Returns:
        Position of each character, mel frames.
    """
    if config.position_scale == 1.0:
        total = sum(passage.characters for passage in passages)
        return tuple(config.position_offset + i for i in range(total))
    return tuple(
        passage.start + config.position_offset + config.position_scale * i
        for passage in passages
        for i in range(passage.characters)
    )
