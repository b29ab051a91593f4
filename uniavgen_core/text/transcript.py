"""The text a user writes, made into text the network can say."""

from dataclasses import dataclass

from .nearest_characters import replace_unknown
from .spelling import spell_numbers


@dataclass(frozen=True)
class PreparedText:
    """A transcript the network can say.

    Attributes:
        text: Speech text; the network knows every character of it.
        notices: What was changed, a sentence each, for the user to read; none if nothing was.
    """

    text: str
    notices: tuple[str, ...] = ()


def prepare_transcript(text: str, spell_out: bool = True) -> PreparedText:
    """Spell out what is not written as it is said, and replace what the network cannot read.

    Args:
        text: What is to be said, in English or Chinese; lines stay lines.
        spell_out: Write numbers, dates, units and abbreviations as words; if not, the network sees them as they are.

    Returns:
        The transcript and what was changed.

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
