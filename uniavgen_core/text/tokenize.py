"""Tokenizer of speech text: English as characters, Chinese as pinyin syllables with tones.

The text is not normalised, stripped or lower-cased.
Source: the rules of F5-TTS (arXiv:2410.06885) as the UniAVGen release applies them.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache, partial

from .vocabulary import FILLER, UNKNOWN, vocabulary

MINIMUM_LENGTH = 10
_PLAIN_PUNCTUATION = str.maketrans(";“”‘’", ",\"\"''")  # noqa: RUF001 - the curly quotes are what is replaced.
_NO_SPACE_AFTER = frozenset(" :'\"")
_MISSING = (
    "There is Chinese in it, and the packages that read it, jieba and pypinyin, are not both installed. Install them "
    "in ComfyUI's Python (pip install jieba pypinyin), or write in English."
)


def _is_chinese(character: str) -> bool:
    return "\u3100" <= character <= "\u9fff"


@lru_cache(maxsize=1)
def chinese_reader() -> tuple[Callable[[str], Iterable[str]], Callable[[str], list[str]]]:
    """Word segmentation and pinyin of Chinese, with tone sandhi and the tone's number last.

    The segmenter is a separate instance, so that dictionaries that other code loads into jieba do not affect it.
    """
    try:
        import jieba
        from pypinyin import Style, lazy_pinyin
    except ImportError as error:
        raise ImportError(_MISSING, name=error.name) from error
    return jieba.Tokenizer().cut, partial(lazy_pinyin, style=Style.TONE3, tone_sandhi=True)


def _spell_segment(segment: str) -> Iterator[tuple[str, str]]:
    """Yield (character, token) of one Chinese or mixed segment, with a space before each syllable."""
    _, read = chinese_reader()
    syllables = read(segment) if all(map(_is_chinese, segment)) else []
    if len(syllables) != len(segment):  # A mixed segment, or one that is not read character by character.
        syllables = [read(c)[0] if _is_chinese(c) else c for c in segment]
    for character, syllable in zip(segment, syllables, strict=True):
        if _is_chinese(character):
            yield " ", " "
        yield character, syllable


def _spell(text: str) -> Iterator[tuple[str, str]]:
    """Yield (character of the text, its token) in order; inserted spaces stand for themselves."""
    if not any(map(_is_chinese, text)):
        yield from zip(text, text, strict=True)
        return
    cut, _ = chinese_reader()
    last = ""
    for segment in cut(text.translate(_PLAIN_PUNCTUATION)):
        if segment.isascii():
            if last and len(segment) > 1 and last not in _NO_SPACE_AFTER:
                yield " ", " "
            yield from zip(segment, segment, strict=True)
            last = segment[-1]
        else:
            for character, last in _spell_segment(segment):
                yield character, last


def tokenize(text: str) -> list[str]:
    """Split speech text into the units of the vocabulary.

    Args:
        text: Speech text. With any Chinese character, the Chinese rules apply to all of it.

    Returns:
        Characters for English; for Chinese, syllables such as ``hao3`` with a space before each.

    Raises:
        ImportError: If the text holds Chinese and jieba or pypinyin is not installed.
    """
    return [token for _, token in _spell(text)]


def speech_ids(text: str) -> tuple[int, ...]:
    """Convert speech text to token ids.

    Args:
        text: Speech text; the empty text becomes one unknown token, as in the release.

    Returns:
        Token ids, not padded; unknown tokens have id 0, the space.

    Raises:
        ImportError: If the text holds Chinese and jieba or pypinyin is not installed.
    """
    return tuple(vocabulary().get(token, UNKNOWN) for token in tokenize(text) or [""])


def pad_speech_ids(ids: tuple[int, ...], minimum: int = MINIMUM_LENGTH) -> tuple[int, ...]:
    """Pad token ids with filler (-1) to at least ``minimum``. The network sees filler as keys."""
    return tuple(ids) + (FILLER,) * (minimum - len(ids))


NULL_SPEECH = (UNKNOWN,) + (FILLER,) * (MINIMUM_LENGTH - 1)


def join_reference(reference_text: str, text: str) -> str:
    """Prepend the transcript of a reference voice to a speech text, with a space between them.

    Args:
        reference_text: Transcript of the reference voice; empty if there is none.
        text: Speech text; empty for the null text.

    Returns:
        The text to tokenize.
    """
    return f"{reference_text} {text}" if reference_text else text


def unknown_characters(text: str) -> list[str]:
    """List the characters that are not in the vocabulary, which the network reads as spaces.

    Args:
        text: Speech text.

    Returns:
        Distinct characters whose token is not in the vocabulary, in order of appearance, without white space.

    Raises:
        ImportError: If the text holds Chinese and jieba or pypinyin is not installed.
    """
    known = vocabulary()
    unknown = (character for character, token in _spell(text) if token not in known and not character.isspace())
    return list(dict.fromkeys(unknown))
