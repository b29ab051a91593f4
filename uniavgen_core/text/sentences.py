"""Division of English and Chinese text into sentences, and the abbreviations with whose full stop none ends."""

import re
from collections.abc import Iterator
from itertools import pairwise

TITLES = {
    "Mr.": "Mister", "Mrs.": "Missus", "Ms.": "Miz", "Dr.": "Doctor", "Prof.": "Professor", "Rev.": "Reverend",
    "Gen.": "General", "Capt.": "Captain", "Lt.": "Lieutenant", "Sgt.": "Sergeant", "Sen.": "Senator",
    "Gov.": "Governor", "Pres.": "President", "Mt.": "Mount", "St.": "Saint", "e.g.": "for example",
    "E.g.": "For example", "i.e.": "that is", "I.e.": "That is", "vs.": "versus", "approx.": "approximately",
    "cf.": "compare", "Fig.": "Figure",
}  # fmt: skip
"""Abbreviations before the word they belong to: no sentence ends with one."""

ENDINGS = {
    "etc.": "et cetera", "Jr.": "Junior", "Sr.": "Senior", "Inc.": "Incorporated", "Ltd.": "Limited",
    "Co.": "Company", "Corp.": "Corporation", "Dept.": "Department", "Ave.": "Avenue", "Blvd.": "Boulevard",
    "Rd.": "Road", "Jan.": "January", "Feb.": "February", "Aug.": "August", "Sept.": "September", "Sep.": "September",
    "Oct.": "October", "Nov.": "November", "Dec.": "December",
}  # fmt: skip
"""Abbreviations that may end a sentence: a capital letter after one begins the next."""

_END = re.compile(r"""[.!?。！？…]+["'”’」』）)\]]*|\n""")  # noqa: RUF001 - full-width signs end Chinese sentences.
_CHINESE_END = re.compile(r"[。！？]")  # noqa: RUF001
_CHINESE = re.compile(r"[\u3100-\u9fff]")
_TITLE = re.compile(r"(?<![\w.])(?:" + "|".join(map(re.escape, TITLES)) + ")$")
_INITIAL = re.compile(r"(?<![\w.])[A-HJ-Z]\.$")  # "J. Smith"; a sentence may well end in "I."
_BEFORE_NUMBER = re.compile(r"(?<![\w.])(?:No\.|" + "|".join(map(re.escape, ENDINGS)) + ")$")  # "Jan. 5"


def is_chinese(text: str) -> bool:
    """True if any character of a text is Chinese."""
    return bool(_CHINESE.search(text))


def split_sentences(text: str) -> list[str]:
    """Split an English, Chinese or mixed text at the ends of sentences and lines.

    A full stop does not end a sentence within a number or address (3.5), after a title or an initial (Mr., J.), between
    an abbreviation and a number (Jan. 5), or before a lower-case letter (at 5 a.m. sharp).

    Returns:
        The sentences with the white space that follows them; joined, they are the text again.
    """
    cuts = [0, *_ends(text), len(text)]
    return [text[start:end] for start, end in pairwise(cuts) if start < end]


def _ends(text: str) -> Iterator[int]:
    """Yield the index of the first character of every sentence after the first."""
    for match in _END.finditer(text):
        after = text[match.end() :]
        following = after.lstrip()
        if _is_end(text[: match.end()], match[0], following, after != following):
            yield match.end() + len(after) - len(following)


def _is_end(before: str, sign: str, following: str, spaced: bool) -> bool:
    """True if a sentence ends at a sign, given the text up to and including it and the text after it."""
    if sign == "\n" or _CHINESE_END.search(sign) or not following:
        return True
    if not spaced:  # "3.5" goes on; "Hello!你好" does not.
        return is_chinese(following[0]) and (sign[0] in "!?" or is_chinese(before[-2:]))
    number = following[0].isdecimal() and _BEFORE_NUMBER.search(before)
    return not (following[0].islower() or number or _TITLE.search(before) or _INITIAL.search(before))
