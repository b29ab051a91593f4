"""Division of a long script into segments that can each be spoken in one clip."""

import re
from collections.abc import Callable, Iterable

from .sentences import split_sentences

Fits = Callable[[str], bool]

_CLAUSE = re.compile(r"(?<=[,;:]\s)|(?<=[，、；：])|(?<=\s[-–—]\s)")  # noqa: RUF001 - Chinese commas.
_WORD = re.compile(r"(?<=\s)|(?<![“‘「『（《(\[\"'])(?=[\u3100-\u9fff])|(?<=[\u3100-\u9fff])(?=[A-Za-z0-9“‘「『（《])")  # noqa: RUF001
_LEVELS: tuple[Callable[[str], list[str]], ...] = (split_sentences, _CLAUSE.split, _WORD.split)
_SHOWN = 40


def plan_script(script: str, fits: Fits) -> tuple[str, ...]:
    """Divide a script into segments.

    Each line is a segment, and is divided further only if it does not fit: at the ends of sentences, within a sentence
    at commas, within a clause between words, and in Chinese between characters. The number of segments is as small as
    possible, with lengths as even as possible.

    Args:
        script: Speech text, one segment a line, or any text. Empty lines are skipped.
        fits: Whether a text fits in one segment; every part of such a text must fit too.

    Returns:
        Text of each segment, in order. Only white space between segments is lost.

    Raises:
        ValueError: If the script is empty, or a word does not fit.
    """
    lines = [line.strip() for line in script.splitlines() if line.strip()]
    if not lines:
        raise ValueError("The script is empty. Write what the person says, for example one line for each segment.")
    return tuple(part for line in lines for part in _cut(line, fits))


def _cut(text: str, fits: Fits, level: int = 0) -> list[str]:
    """Divide a text into parts that fit, at the coarsest level that does."""
    text = text.strip()
    if fits(text):
        return [text]
    if level == len(_LEVELS):
        shown = text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
        raise ValueError(
            f"'{shown}' of the script is too long for one segment, and words are not split. Use longer segments or "
            "shorter words."
        )
    parts, together = [], []
    for piece in _LEVELS[level](text):
        if fits(piece.strip()):
            together.append(piece)
        else:
            parts += [*_join_evenly(together, fits), *_cut(piece, fits, level + 1)]
            together = []
    return parts + _join_evenly(together, fits)


def _join(pieces: Iterable[str], fits: Fits) -> list[str]:
    """Join neighbours greedily while they fit."""
    parts: list[str] = []
    for piece in pieces:
        if parts and fits((parts[-1] + piece).strip()):
            parts[-1] += piece
        else:
            parts.append(piece)
    return parts


def _join_evenly(pieces: list[str], fits: Fits) -> list[str]:
    """Join neighbours into the fewest parts that fit, with the longest as short as possible."""
    parts = _join(pieces, fits)
    fewest = len(parts)
    low, high = 1, sum(map(len, pieces))
    while low < high:
        limit = (low + high) // 2
        tried = _join(pieces, lambda text, limit=limit: len(text) <= limit and fits(text))
        if len(tried) == fewest:
            parts, high = tried, limit
        else:
            low = limit + 1
    return [part.strip() for part in parts if part.strip()]
