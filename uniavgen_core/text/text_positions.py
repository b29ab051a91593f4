"""When the characters of a speech text are expected to sound: the rotary positions of the text's keys.

The released network counts characters and learned to read them at any rate. A network for one speaking rate expects
each character at a mel frame of its own, so a passage that begins later moves as a whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ..config import TextConfig


@dataclass(frozen=True)
class Passage:
    """Characters that are spoken in one go.

    Attributes:
        characters: How many.
        start: When their sound begins, mel frames from the start of the audio sequence, reference voice included.
    """

    characters: int
    start: float = 0.0


def character_positions(passages: Sequence[Passage], config: TextConfig) -> tuple[float, ...]:
    """Position of every character of consecutive passages.

    Args:
        passages: The parts of one speech text, in order.
        config: Spacing of the characters; a scale of 1 counts them through, wherever passages begin.

    Returns:
        One position a character, mel frames.
    """
    if config.position_scale == 1.0:
        total = sum(passage.characters for passage in passages)
        return tuple(config.position_offset + i for i in range(total))
    return tuple(
        passage.start + config.position_offset + config.position_scale * i
        for passage in passages
        for i in range(passage.characters)
    )
