"""Preparation of a user's transcript: text normalisation, and the nearest known characters instead of unknown ones.

The nearest is a variant of the same sign (curly quotes, dashes), the Unicode decomposition of a character (accents,
ligatures, full-width forms, square units), the same letter in the other case, or the same digit of another script.
"""
# ruff: noqa: RUF001 - The tables list characters that look alike.

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from .spelling import spell_numbers
from .tokenize import unknown_characters

_SAME_SIGN = {
    **dict.fromkeys("‘’‚‛ʼ‹›`", "'"), **dict.fromkeys("“”„‟", '"'),
    **dict.fromkeys("‐⁃", "-"), **dict.fromkeys("⸺⸻", "—"), "〜": "~",
    "『": "「", "』": "」", **dict.fromkeys("〈《", "《"), **dict.fromkeys("〉》", "》"),
    **dict.fromkeys("〔〖", "["), **dict.fromkeys("〕〗}", "]"),
    **dict.fromkeys("●▪◦", "•"), **dict.fromkeys("♩♫♬", "♪"), **dict.fromkeys("⇒➔➜", "→"),
}  # fmt: skip
_SILENT = ("Cf", "Mn", "Me", "Cc")  # Joiners, marks and controls are removed.


@dataclass(frozen=True)
class PreparedText:
    """A transcript in the network's vocabulary.

    Attributes:
        text: Speech text; every character of it is in the vocabulary.
        notices: A sentence for the user about each change.
    """

    text: str
    notices: tuple[str, ...] = ()


def prepare_transcript(text: str, spell_out: bool = True) -> PreparedText:
    """Spell out numbers and abbreviations, and replace characters that are not in the vocabulary.

    Args:
        text: Speech text, in English or Chinese; line breaks are kept.
        spell_out: Whether to write numbers, dates, units and abbreviations as words.

    Returns:
        The transcript and its changes.

    Raises:
        ImportError: If the text needs a package that is not installed: wetext for numbers, jieba and pypinyin for
            Chinese.
    """
    text, notices = replace_unknown(text)
    if spell_out:
        text, spelled = spell_numbers(text)
        text, unread = replace_unknown(text)
        notices = notices + spelled + unread
    return PreparedText(text, tuple(dict.fromkeys(notices)))


def replace_unknown(text: str) -> tuple[str, tuple[str, ...]]:
    """Replace characters that are not in the vocabulary by the nearest ones.

    Returns:
        The text in Unicode's composed form, with known characters only (white space is kept), and a sentence about each
        distinct character that was replaced.

    Raises:
        ImportError: If the text holds Chinese and jieba or pypinyin is not installed.
    """
    text = unicodedata.normalize("NFC", text)
    replaced = {character: _nearest(character) for character in unknown_characters(text)}
    lost = "".join(re.escape(character) for character, near in replaced.items() if near is None)
    text = text.translate(str.maketrans({c: near for c, near in replaced.items() if near is not None}))
    if lost:
        text = re.sub(f" *(?:[{lost}] *)+", " ", text).strip(" ")
    return text, tuple(_notice(character, near) for character, near in replaced.items())


def _nearest(character: str) -> str | None:
    """Nearest known text to a character; "" for a silent one, None if there is none."""
    for candidate in _candidates(character):
        if candidate.strip() and not unknown_characters(candidate):
            return candidate
    return "" if unicodedata.category(character) in _SILENT else None


def _candidates(character: str) -> Iterator[str]:
    """Yield possible replacements of a character, the nearest first."""
    yield _SAME_SIGN.get(character, "")
    yield unicodedata.normalize("NFKC", character)
    parts = unicodedata.normalize("NFKD", character)
    yield "".join(part for part in parts if not unicodedata.combining(part))
    yield character.swapcase()
    yield character.casefold()
    if character.isdecimal():
        yield str(unicodedata.decimal(character))


def _notice(character: str, near: str | None) -> str:
    if near:
        return f"{character} became {near}."
    if near is None:
        return f"The model knows nothing near {character}; a space replaces it."
    name = unicodedata.name(character, f"U+{ord(character):04X}").lower()
    return f"The invisible character '{name}' was removed."
