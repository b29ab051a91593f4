"""Preparation of a user's transcript: text normalisation and replacement of unknown characters."""

from dataclasses import dataclass

from .nearest_characters import replace_unknown
from .spelling import spell_numbers


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
