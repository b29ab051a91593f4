"""Replacement of characters that are not in the vocabulary by the nearest ones, each with a notice to the user.

The nearest is a variant of the same sign (curly quotes, dashes), the Unicode decomposition of a character (accents,
ligatures, full-width forms, square units), the same letter in the other case, or the same digit of another script.
"""
# ruff: noqa: RUF001 - The tables list characters that look alike.

import re
import unicodedata
from collections.abc import Iterator

from .tokenize import unknown_characters

_SAME_SIGN = {
    **dict.fromkeys("‘’‚‛ʼ‹›`", "'"), **dict.fromkeys("“”„‟", '"'),
    **dict.fromkeys("‐⁃", "-"), **dict.fromkeys("⸺⸻", "—"), "〜": "~",
    "『": "「", "』": "」", **dict.fromkeys("〈《", "《"), **dict.fromkeys("〉》", "》"),
    **dict.fromkeys("〔〖", "["), **dict.fromkeys("〕〗}", "]"),
    **dict.fromkeys("●▪◦", "•"), **dict.fromkeys("♩♫♬", "♪"), **dict.fromkeys("⇒➔➜", "→"),
}  # fmt: skip
_SILENT = ("Cf", "Mn", "Me", "Cc")  # Joiners, marks and controls are removed.


def replace_unknown(text: str) -> tuple[str, tuple[str, ...]]:
    """Replace characters that are not in the vocabulary by the nearest ones.

    Args:
        text: Speech text.

    Returns:
        The text in Unicode's composed form, with known characters only (white space is kept), and a sentence about each
        distinct character that was replaced.

    Raises:
        ImportError: If the text holds Chinese and jieba or pypinyin is not installed.
    """
    text = unicodedata.normalize("NFC", text)
    replaced, notices = {}, []
    for character in unknown_characters(text):
        near = _nearest(character)
        notices.append(_notice(character, near))
        replaced[character] = near
    lost = "".join(re.escape(character) for character, near in replaced.items() if near is None)
    text = text.translate(str.maketrans({c: near for c, near in replaced.items() if near is not None}))
    if lost:
        text = re.sub(f" *(?:[{lost}] *)+", " ", text).strip(" ")
    return text, tuple(notices)


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
    """Notice about the replacement of a character."""
    if near:
        return f"{character} became {near}."
    if near is None:
        return f"The model knows nothing near {character}; a space replaces it."
    name = unicodedata.name(character, f"U+{ord(character):04X}").lower()
    return f"The invisible character '{name}' was removed."
