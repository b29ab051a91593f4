"""A long script cut into segments that can each be said in one clip."""

import re
from collections.abc import Callable, Iterable

from .sentences import split_sentences

Fits = Callable[[str], bool]

_CLAUSE = re.compile(r"(?<=[,;:]\s)|(?<=[，、；：])|(?<=\s[-–—]\s)")  # noqa: RUF001 - Chinese commas.
_WORD = re.compile(r"(?<=\s)|(?<![“‘「『（《(\[\"'])(?=[\u3100-\u9fff])|(?<=[\u3100-\u9fff])(?=[A-Za-z0-9“‘「『（《])")  # noqa: RUF001
_LEVELS: tuple[Callable[[str], list[str]], ...] = (split_sentences, _CLAUSE.split, _WORD.split)
_SHOWN = 40


def plan_script(script: str, fits: Fits) -> tuple[str, ...]:
    """Cut a script into segments.

    Each line is a segment of its own, cut further only if it does not fit: at the ends of sentences, within a
    sentence at commas, within a clause between words, and in Chinese between characters. Pieces that fit together
    stay together, in as few segments as possible and these as even as possible.

    Args:
        script: What is said, one segment a line, or any text. Lines without text are left out.
        fits: Whether a text can be said in one segment; a part of what fits must fit too.

    Returns:
        What each segment says, in order. No character but white space between segments is lost.

    Raises:
        ValueError: If the script is empty, or a word does not fit.
    """
    lines = [line.strip() for line in script.splitlines() if line.strip()]
    if not lines:
        raise ValueError("The script is empty. Write what the person says, for example one line for each segment.")
    return tuple(part for line in lines for part in _cut(line, fits))


def _cut(text: str, fits: Fits, level: int = 0) -> list[str]:
    """Cut a text into parts that fit, at the coarsest places that do."""
    text = text.strip()
    if fits(text):
        return [text]
    if level == len(_LEVELS):
        shown = text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
        raise ValueError(
            f"'{shown}' of the script is too long for one segment, and a word is not cut. Make the segments longer or "
            "write it as shorter words."
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
    """Join neighbours as long as they fit."""
    parts: list[str] = []
    for piece in pieces:
        if parts and fits((parts[-1] + piece).strip()):
            parts[-1] += piece
        else:
            parts.append(piece)
    return parts


def _join_evenly(pieces: list[str], fits: Fits) -> list[str]:
    """Join neighbours into as few parts as fit, the longest of them as short as possible."""
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
