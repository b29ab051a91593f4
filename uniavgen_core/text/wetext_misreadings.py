"""Rules for common written forms that the package ``wetext`` misreads.

A rule matches one form and spells it out with ``read``, which spells out a single number.
"""

import re
from collections.abc import Callable

Read = Callable[[str], str]
Rule = tuple[re.Pattern[str], Callable[[re.Match[str], Read], str]]

_COINS = {"$": "cent", "€": "cent", "£": "pence"}
_NUMBER = r"[0-9][0-9,]*(?:\.[0-9]+)?"
_ALONE, _ENDS = r"(?<![0-9.,:/$£€¥-])", r"(?![0-9]|[.,:/-][0-9])"


def _say_digits(match: re.Match[str], read: Read) -> str:
    groups = re.findall(r"[0-9]+", match[0])
    return ", ".join(" ".join(map(read, group)) for group in groups)


def _say_decade(match: re.Match[str], read: Read) -> str:
    return re.sub("y$", "ie", read(match[1])) + "s"


def _say_price(match: re.Match[str], read: Read) -> str:
    whole, coins = match[1] + match[2].replace(",", ""), int(match[3])
    if not coins:
        return read(whole)
    coin = _COINS[match[1]]
    plural = "" if coins == 1 or coin == "pence" else "s"
    return f"{read(whole)} and {read(str(coins))} {coin}{plural}"


def _say_ratio(match: re.Match[str], read: Read) -> str:
    """Spell out 24/7 and 50/50 as two numbers; 3/4 is a fraction and stays."""
    if int(match[1]) < int(match[2]):
        return match[0]
    return f"{read(match[1])} {read(match[2])}"


ENGLISH: tuple[Rule, ...] = (
    (re.compile(r"(?<![0-9])(?:\+[0-9]{1,3} )?(?:\(?[0-9]{3}\)?[ -])?[0-9]{3}[ -][0-9]{4}(?![0-9])"), _say_digits),
    (re.compile(_ALONE + r"((?:[0-9]{2})?[1-9]0|[0-9]{2}00)['’]?s\b"), _say_decade),  # noqa: RUF001
    (re.compile(_ALONE + r"([0-9]{1,4})[-–]([0-9]{1,4})" + _ENDS),  # noqa: RUF001
     lambda match, read: f"{read(match[1])} to {read(match[2])}"),
    (re.compile(r"([$€£])([0-9][0-9,]*)\.([0-9]{2})\b(?! ?(?:[kmb]n?|thousand|million|billion|trillion)\b)"),
     _say_price),
    (re.compile(rf"({_NUMBER}) ?([€£])(?![0-9])"), lambda match, read: read(match[2] + match[1])),
    (re.compile(rf"(?:#|№ ?)({_NUMBER})"), lambda match, read: f"number {read(match[1])}"),
    (re.compile(_ALONE + r"([1-9])000" + _ENDS), lambda match, read: f"{read(match[1])} thousand"),
    (re.compile(rf"({_NUMBER}) ?m\b(?![²³/])"),
     lambda match, read: f"{read(match[1])} meter{'' if match[1] == '1' else 's'}"),
    (re.compile(_ALONE + r"([0-9]{1,3})/([0-9]{1,3})" + _ENDS), _say_ratio),
    (re.compile(r"([0-9]+)([¼½¾⅓⅔⅛])"), lambda match, read: read(f"{match[1]} {match[2]}")),
)  # fmt: skip

CHINESE: tuple[Rule, ...] = (
    (re.compile(r"第([0-9]+)"), lambda match, read: "第" + read(match[1])),
    (re.compile(r"[¥￥]([0-9]+(?:\.[0-9]+)?)元"), lambda match, read: read(match[1] + "元")),
    (re.compile(r"(?<![0-9.:])2点(?![0-9])"), lambda match, read: "两点"),  # noqa: ARG005
    (re.compile(r"(?<![0-9.-])([0-9]{1,3})[-–~～]([0-9]{1,3})(?![0-9.-])"),  # noqa: RUF001
     lambda match, read: f"{read(match[1])}到{read(match[2])}"),
)  # fmt: skip
