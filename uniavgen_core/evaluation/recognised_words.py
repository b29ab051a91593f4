"""Share of the words of a transcript that a recognizer hears."""

from ..text.spelling import spell_numbers
from .paper_models import spoken_words
from .word_errors import word_error_rate


def words_right(transcript: str, heard: str) -> float:
    """Share of words that are right: 1 less the word error rate, at least 0.

    Case and punctuation do not count, and numbers are spelled out on both sides.

    Args:
        transcript: What should be said, with at least one word.
        heard: What a recognizer heard.

    Raises:
        ValueError: If the transcript has no words.
    """
    wanted, got = (spoken_words(spell_numbers(text)[0]) for text in (transcript, heard))
    return max(0.0, 1 - word_error_rate([wanted], [got]))
