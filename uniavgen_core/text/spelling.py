"""Text normalisation: numbers, dates, times, amounts, units and abbreviations as words, in English and Chinese.

Abbreviations come from a table. Anything with digits is normalised by the package ``wetext``, except for a few common
forms that it misreads, which have rules. The rest of the text is unchanged.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from .sentences import ENDINGS, TITLES, is_chinese, split_sentences
from .wetext_misreadings import CHINESE, ENGLISH, Read

_NUMBER = re.compile(r"[0-9¼½¾⅓⅔⅛]")
_SHORT = TITLES | ENDINGS | {"No.": "number"}
_FOLLOWED_BY = {"St.": " [A-Z]", "No.": " ?[0-9]"}  # Otherwise it is a street, or the word "no".
_ABBREVIATION = re.compile(
    r"(?<![\w.])(?:"
    + "|".join(f"{re.escape(short)}(?{'=' if short in _FOLLOWED_BY else '!'}{_FOLLOWED_BY.get(short, '[A-Za-z]')})"
               for short in _SHORT)
    + ")"
)  # fmt: skip
_LAST = re.compile(r"[\"'”’)\]]*\s*$")  # noqa: RUF001
_AND = re.compile(r" & ")
_BARRIERS = re.compile(r"([\"“”\\{}()\[\]\n]|\s{2,})")  # wetext misreads text across these.
_MONTH = re.compile(r"\b(?:january|february|march|april|may|june|july|august|september|october|november|december)\b")
_MULTIPLE = re.compile(r"^(hundred|thousand|million|billion)\b")  # wetext reads $1000 as "thousand dollars".
_MISSING = (
    "There are numbers in it, and the package that turns them into words, wetext, is not installed. Install it in "
    "ComfyUI's Python (pip install -U wetext), or write the numbers as words."
)


def spell_numbers(text: str) -> tuple[str, tuple[str, ...]]:
    """Spell out numbers, dates, times, amounts, units and abbreviations.

    A sentence with any Chinese character is read as Chinese. One without letters is read in the language of the whole
    text. Line breaks are kept.

    Returns:
        The text in words, and a sentence about each change. Digits that could not be read are kept and reported.

    Raises:
        ImportError: If the text has digits and wetext is not installed.
    """
    notices: list[str] = []
    spoken = ""
    for sentence in split_sentences(text):
        judged = sentence if any(map(str.isalpha, sentence)) else text
        spoken += _spell_sentence(sentence, is_chinese(judged), notices)
    return spoken, tuple(notices)


def _spell_sentence(sentence: str, chinese: bool, notices: list[str]) -> str:
    """Spell out one sentence, and append its changes to the notices."""
    spoken = _substitute(_ABBREVIATION, _say_abbreviation, sentence, notices)
    if not chinese:
        spoken = _substitute(_AND, lambda _: " and ", spoken, notices)
    if not _NUMBER.search(spoken):
        return spoken
    read = _reader(chinese)
    for pattern, say in CHINESE if chinese else ENGLISH:
        spoken = _substitute(pattern, lambda match, say=say: say(match, read), spoken, notices)
    spoken = "".join(_spell_part(part, chinese, notices) for part in _BARRIERS.split(spoken))
    if sentence.rstrip().endswith(".") and not spoken.rstrip().endswith("."):  # It was part of "5 p.m."
        spoken = f"{spoken.rstrip()}.{spoken[len(spoken.rstrip()) :]}"
    notices.extend(f"{left} could not be spelled out and stays as it is." for left in re.findall(r"[0-9]+", spoken))
    return spoken


def _substitute(pattern: re.Pattern[str], say: Callable[[re.Match[str]], str], text: str, notices: list[str]) -> str:
    """Spell out the matches of a pattern in a text, and append each change to the notices."""

    def change(match: re.Match[str]) -> str:
        spoken = say(match)
        if spoken != match[0]:
            notices.append(_notice(match[0], spoken))
        return spoken

    return pattern.sub(change, text)


def _notice(written: str, spoken: str) -> str:
    return f"{written.strip()} became {spoken.strip().removesuffix('.')}."


def _say_abbreviation(match: re.Match[str]) -> str:
    """Spell out an abbreviation; its full stop is kept if it also ends the sentence."""
    rest = match.string[match.end() :]
    point = "." if match[0] in ENDINGS and _LAST.match(rest) else ""
    return _SHORT[match[0]] + point


@lru_cache(maxsize=2)
def wetext_normalizer(chinese: bool) -> Any:
    """Load the normaliser of one language."""
    try:
        from wetext import NormalizationResult, Normalizer  # noqa: F401 - An old wetext without mappings lacks it.
    except ImportError as error:
        raise ImportError(_MISSING, name=error.name) from error
    return Normalizer(lang="zh" if chinese else "en", operator="tn")


def _reader(chinese: bool) -> Read:
    """Make a function that spells out a single number, amount or date."""
    normalizer = wetext_normalizer(chinese)

    def read(written: str) -> str:
        try:
            spoken = normalizer.normalize(written)
        except (AssertionError, RuntimeError):  # wetext found no reading.
            return written
        spoken = _MONTH.sub(lambda month: month[0].capitalize(), str(spoken))
        return _MULTIPLE.sub(r"one \1", spoken)

    return read


def _spell_part(part: str, chinese: bool, notices: list[str]) -> str:
    """Spell out the numbers in a part of a sentence, word by word if ``wetext`` cannot read the whole."""
    if not _NUMBER.search(part):
        return part
    try:
        found = wetext_normalizer(chinese).normalize_with_mapping(part).mappings
    except (AssertionError, RuntimeError):  # wetext found no reading.
        words = re.split(r"(\s+)", part)
        if len(words) == 1:
            return part
        return "".join(_spell_part(word, chinese, notices) for word in words)
    read = _reader(chinese)
    spoken, end = [], 0
    for piece in found:
        if _NUMBER.search(piece.input_text):
            reading = read(piece.input_text)
            if reading != piece.input_text:
                notices.append(_notice(piece.input_text, reading))
            spoken += [part[end : piece.input_start], reading]
            end = piece.input_end
    return "".join([*spoken, part[end:]])
