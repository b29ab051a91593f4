"""Tokenizer of speech text: English as characters, Chinese as pinyin syllables with tones.

The text is not normalised, stripped or lower-cased.
Source: the rules of F5-TTS (arXiv:2410.06885) as the UniAVGen release applies them.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache, partial
from pathlib import Path

from .sentences import is_chinese

UNKNOWN = 0
FILLER = -1
MINIMUM_LENGTH = 10
_PLAIN_PUNCTUATION = str.maketrans(";“”‘’", ",\"\"''")  # noqa: RUF001 - the curly quotes are what is replaced.
_NO_SPACE_AFTER = frozenset(" :'\"")
_MISSING = (
    "There is Chinese in it, and the packages that read it, jieba and pypinyin, are not both installed. Install them "
    "in ComfyUI's Python (pip install jieba pypinyin), or write in English."
)


@lru_cache(maxsize=1)
def vocabulary() -> dict[str, int]:
    """Token id of each of the 2545 known characters and syllables; 0 is the space. Do not write to the shared result.

    Source: ``vocab.txt`` of the ``f5-tts`` package, with which UniAVGen was trained; see THIRD_PARTY_NOTICES.md.
    """
    table = Path(__file__).with_name("vocab.txt").read_text(encoding="utf-8")
    return {entry: number for number, entry in enumerate(table.splitlines())}


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
    syllables = read(segment) if all(map(is_chinese, segment)) else []
    if len(syllables) != len(segment):  # A mixed segment, or one that is not read character by character.
        syllables = [read(c)[0] if is_chinese(c) else c for c in segment]
    for character, syllable in zip(segment, syllables, strict=True):
        if is_chinese(character):
            yield " ", " "
        yield character, syllable


def _spell(text: str) -> Iterator[tuple[str, str]]:
    """Yield (character of the text, its token) in order; inserted spaces stand for themselves."""
    if not is_chinese(text):
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
    """Convert speech text to token ids, not padded; unknown tokens have id 0, the space.

    The empty text becomes one unknown token, as in the release.

    Raises:
        ImportError: If the text holds Chinese and jieba or pypinyin is not installed.
    """
    return tuple(vocabulary().get(token, UNKNOWN) for token in tokenize(text) or [""])


def pad_speech_ids(ids: tuple[int, ...]) -> tuple[int, ...]:
    """Pad token ids with filler (-1) to at least ten. The network sees filler as keys."""
    return ids + (FILLER,) * (MINIMUM_LENGTH - len(ids))


NULL_SPEECH = pad_speech_ids((UNKNOWN,))


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
    """List the distinct characters that the network reads as spaces: those not in the vocabulary, but no white space.

    Raises:
        ImportError: If the text holds Chinese and jieba or pypinyin is not installed.
    """
    unknown = (character for character, token in _spell(text) if token not in vocabulary() and not character.isspace())
    return list(dict.fromkeys(unknown))
