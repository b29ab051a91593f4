"""Numbers, dates, times, amounts, units and abbreviations as words, in English and Chinese.

Abbreviations are a table of ours. What has digits is found and read by the package ``wetext``, which is asked only
where there are digits; a few common forms that it misreads have a rule here. Only what is found changes: the rest of
the text stays as it is.
"""

import re
from collections.abc import Callable
from functools import lru_cache, partial

from .abbreviations import ENDINGS, TITLES
from .sentences import is_chinese, split_sentences
from .wetext_misreadings import CHINESE, ENGLISH, Read

_NUMBER = re.compile(r"[0-9¼½¾⅓⅔⅛]")
_SHORT = TITLES | ENDINGS | {"No.": "number"}
_FOLLOWED_BY = {"St.": " [A-Z]", "No.": " ?[0-9]"}  # Else it is a street, or the word.
_ABBREVIATION = re.compile(
    r"(?<![\w.])(?:"
    + "|".join(f"{re.escape(short)}(?{'=' if short in _FOLLOWED_BY else '!'}{_FOLLOWED_BY.get(short, '[A-Za-z]')})"
               for short in _SHORT)
    + ")"
)  # fmt: skip
_LAST = re.compile(r"[\"'”’)\]]*\s*$")  # noqa: RUF001
_AND = re.compile(r" & ")
_BARRIERS = re.compile(r"([\"“”\\{}()\[\]\n]|\s{2,})")  # wetext reads badly across these.
_MONTH = re.compile(r"\b(?:january|february|march|april|may|june|july|august|september|october|november|december)\b")
_MULTIPLE = re.compile(r"^(hundred|thousand|million|billion)\b")  # wetext's "thousand dollars" for $1000.
_MISSING = (
    "There are numbers in it, and the package that turns them into words, wetext, is not installed. Install it in "
    "ComfyUI's Python (pip install -U wetext), or write the numbers as words."
)


def spell_numbers(text: str) -> tuple[str, tuple[str, ...]]:
    """Write numbers, dates, times, amounts, units and abbreviations as they are said.

    A sentence with any Chinese is read as Chinese; one without letters is read as the whole text is.

    Args:
        text: What is to be said; lines stay lines.

    Returns:
        The text in words, and a sentence about each place that changed. Digits nobody could read stay and are
        named too.

    Raises:
        ImportError: If the text has digits and wetext is not installed.
    """
    notices: list[str] = []
    chinese = is_chinese(text)
    spoken = [_spell_sentence(sentence, _is_read_as_chinese(sentence, chinese), notices)
              for sentence in split_sentences(text)]  # fmt: skip
    return "".join(spoken), tuple(notices)


def _is_read_as_chinese(sentence: str, text_is_chinese: bool) -> bool:
    return is_chinese(sentence) or (text_is_chinese and not any(map(str.isalpha, sentence)))


def _spell_sentence(sentence: str, chinese: bool, notices: list[str]) -> str:
    """Spell out one sentence, and add what changed to the notices."""
    spoken = _substitute(_ABBREVIATION, _say_abbreviation, sentence, notices)
    if not chinese:
        spoken = _substitute(_AND, lambda _: " and ", spoken, notices)
    if not _NUMBER.search(spoken):
        return spoken
    read = _reader(chinese)
    for pattern, say in CHINESE if chinese else ENGLISH:
        spoken = _substitute(pattern, partial(say, read=read), spoken, notices)
    spoken = "".join(_spell_part(part, chinese, notices) for part in _BARRIERS.split(spoken))
    if sentence.rstrip().endswith(".") and not spoken.rstrip().endswith("."):  # It was a part of "5 p.m."
        spoken = f"{spoken.rstrip()}.{spoken[len(spoken.rstrip()) :]}"
    notices.extend(f"{left} could not be read and stays as it is." for left in re.findall(r"[0-9]+", spoken))
    return spoken


def _substitute(pattern: re.Pattern[str], say: Callable[[re.Match[str]], str], text: str, notices: list[str]) -> str:
    """Say what a pattern finds in a text, and add each change to the notices."""

    def change(match: re.Match[str]) -> str:
        said = say(match)
        if said != match[0]:
            notices.append(_notice(match[0], said))
        return said

    return pattern.sub(change, text)


def _notice(written: str, said: str) -> str:
    return f"{written.strip()} became {said.strip().removesuffix('.')}."


def _say_abbreviation(match: re.Match[str]) -> str:
    """The words for an abbreviation; its point stays where it also ends the sentence."""
    rest = match.string[match.end() :]
    point = "." if match[0] in ENDINGS and _LAST.match(rest) else ""
    return _SHORT[match[0]] + point


@lru_cache(maxsize=2)
def wetext_normalizer(chinese: bool):
    """What finds and reads numbers in one language."""
    try:
        from wetext import NormalizationResult, Normalizer  # noqa: F401 - what an old wetext without mappings lacks.
    except ImportError as error:
        raise ImportError(_MISSING, name=error.name) from error
    return Normalizer(lang="zh" if chinese else "en", operator="tn")


def _reader(chinese: bool) -> Read:
    """Get a function that says a number, an amount or a date that stands alone."""
    normalizer = wetext_normalizer(chinese)

    def read(written: str) -> str:
        try:
            said = normalizer.normalize(written)
        except (AssertionError, RuntimeError):  # wetext found no reading.
            return written
        said = _MONTH.sub(lambda month: month[0].capitalize(), said)
        return _MULTIPLE.sub(r"one \1", said)

    return read


def _spell_part(part: str, chinese: bool, notices: list[str]) -> str:
    """Spell out the numbers in a part of a sentence, or in its words if the whole is too much for the library."""
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
            said = read(piece.input_text)
            if said != piece.input_text:
                notices.append(_notice(piece.input_text, said))
            spoken += [part[end : piece.input_start], said]
            end = piece.input_end
    return "".join([*spoken, part[end:]])
