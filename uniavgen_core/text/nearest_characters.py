"""Characters the network cannot read, replaced by the nearest it can. Nothing is replaced without a word to the user.

Near are: the same sign drawn another way (curly quotes, dashes), the parts a character is composed of by Unicode's
own tables (accents, ligatures, full-width forms, units in one square), the same letter in the other case, and the
same digit of another script.
"""
# ruff: noqa: RUF001 - signs that look alike are what this is about.

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
_SILENT = ("Cf", "Mn", "Me", "Cc")  # Joiners, marks and controls: nothing stands in their place.


def replace_unknown(text: str) -> tuple[str, tuple[str, ...]]:
    """Replace what the network cannot read by the nearest it can.

    Args:
        text: Speech text.

    Returns:
        The text in Unicode's composed form, with known characters only (white space stays), and a sentence about
        each distinct character that was replaced.

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
    """The nearest known text to a character, "" for one without a sound; None if there is none."""
    for candidate in _candidates(character):
        if candidate.strip() and not unknown_characters(candidate):
            return candidate
    return "" if unicodedata.category(character) in _SILENT else None


def _candidates(character: str) -> Iterator[str]:
    """What may stand for a character, the nearest first."""
    yield _SAME_SIGN.get(character, "")
    yield unicodedata.normalize("NFKC", character)
    parts = unicodedata.normalize("NFKD", character)
    yield "".join(part for part in parts if not unicodedata.combining(part))
    yield character.swapcase()
    yield character.casefold()
    if character.isdecimal():
        yield str(unicodedata.decimal(character))


def _notice(character: str, near: str | None) -> str:
    """Say what became of a character."""
    if near:
        return f"{character} became {near}."
    if near is None:
        return f"The model knows nothing near {character}; a space stands in its place."
    name = unicodedata.name(character, f"U+{ord(character):04X}").lower()
    return f"The invisible character '{name}' was removed."
