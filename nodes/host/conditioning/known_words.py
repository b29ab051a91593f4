"""Limits of a model that was trained on few words: its vocabulary, and the longest text of a reference voice.

The released model reads any text and has no such limits.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches

from ....uniavgen_core.checkpoint.checked_files import CheckpointError, parse_object
from ....uniavgen_core.checkpoint.config_from_weights import KNOWN_TEXT_KEY
from ....uniavgen_core.config import TOON, TextConfig
from ....uniavgen_core.text.tokenize import speech_ids
from .pass_settings import KEY, PassSettings, pass_settings_of

MOST_LISTED_WORDS = 12
"""Most unknown words that a notice lists."""
MOST_KNOWN_WORDS = 40
"""Most words that a notice lists of those that a model knows; of more, it names those that are spelled alike."""
LEAST_LIKENESS = 0.75
"""Likeness from which words are spelled alike, as ``difflib`` counts it."""
NO_TRANSCRIPT = (
    "No transcript reaches the sampler, so the person babbles. Connect 'UniAVGen Speech Text' between the caption and "
    "this model's 'positive'."
)


@dataclass(frozen=True)
class KnownText:
    """Limits of the texts that a model was trained on.

    Attributes:
        words: Words the model can say, in their spelling.
        longest_voice_text: Characters of the longest transcript of a reference voice.
    """

    words: tuple[str, ...]
    longest_voice_text: int


TOON_TEXT = replace(TOON.text, position_offset=13.3, position_scale=5.97)
"""Text settings of the bundled model, whose file has no metadata about its known text."""
TOON_KNOWN_TEXT = KnownText(
    words=(
        "hello", "bye", "yes", "no", "happy", "nice", "one", "two", "four", "five", "seven", "nine",
        "red", "orange", "moon", "star", "sun", "fish", "bird", "tiger", "dog", "robot", "water", "cloud",
    ),
    longest_voice_text=29,
)  # fmt: skip


def known_text_of(config: TextConfig, metadata: Mapping[str, str]) -> KnownText | None:
    """Read a model's known text from the metadata of its checkpoint.

    Args:
        config: Text settings of the model, by which the bundled model is recognised.
        metadata: Metadata of the checkpoint. The entry ``uniavgen_known_text`` is JSON of ``KnownText``, ``{}`` for no
            limits.

    Returns:
        The known text, or None for a model without limits.

    Raises:
        CheckpointError: If the entry is not of that form.
    """
    if KNOWN_TEXT_KEY in metadata:
        return _parsed(metadata[KNOWN_TEXT_KEY])
    return TOON_KNOWN_TEXT if config == TOON_TEXT else None


def _parsed(text: str) -> KnownText | None:
    subject = f"The file's metadata entry {KNOWN_TEXT_KEY}"
    limits = parse_object(text, subject)
    if not limits:
        return None
    words, longest = limits.get("words"), limits.get("longest_voice_text")
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words) or type(longest) is not int:
        raise CheckpointError(
            f"{subject} must give words, a list of texts, and longest_voice_text, a whole number. Get the file again "
            "from its source."
        )
    return KnownText(tuple(words), longest)


def unknown_words_notice(known: KnownText | None, conditioning: Sequence[Mapping]) -> str | None:
    """Notice about words of the transcripts that the model was not trained on; None if there are none.

    Args:
        known: Limits of the model; None for any text.
        conditioning: Entries of a CONDITIONING, as dictionaries.
    """
    if known is None:
        return None
    texts = [speech.text or "" for options in conditioning for speech in pass_settings_of(dict(options)).speeches]
    unknown = [word for word in dict.fromkeys(" ".join(texts).split()) if word not in known.words]
    if not unknown:
        return None
    more = f" and {len(unknown) - MOST_LISTED_WORDS} more" if len(unknown) > MOST_LISTED_WORDS else ""
    listed = ", ".join(f'"{word}"' for word in unknown[:MOST_LISTED_WORDS])
    said = f"This model knows {len(known.words)} words and will mispronounce others: {listed}{more}."
    if len(known.words) <= MOST_KNOWN_WORDS:
        return f"{said} It knows, in lower case and without punctuation: {', '.join(known.words)}."
    near = {word: get_close_matches(word, known.words, 1, LEAST_LIKENESS) for word in unknown[:MOST_LISTED_WORDS]}
    like = ", ".join(f'"{found[0]}" for "{word}"' for word, found in near.items() if found)
    return f"{said} Similar words that it knows: {like}." if like else said


def without_long_voice_texts(known: KnownText | None, conditioning: Sequence[dict]) -> tuple[list[dict], str | None]:
    """Drop transcripts of reference voices that are longer than any the model was trained on.

    Args:
        known: Limits of the model; None for any text.
        conditioning: Entries of a CONDITIONING, as dictionaries.

    Returns:
        The entries, and a notice if one was changed.
    """
    if known is None:
        return list(conditioning), None
    texts = [speech.voice_transcript for options in conditioning for speech in pass_settings_of(options).speeches]
    longest = max((len(speech_ids(text)) for text in texts if text), default=0)
    if longest <= known.longest_voice_text:
        return list(conditioning), None
    changed = [{**options, KEY: _without_long_voice_text(pass_settings_of(options), known)} for options in conditioning]
    return changed, (
        f"The transcript of the reference voice has {longest} characters, more than the {known.longest_voice_text} "
        "this model was trained on, so it is ignored. A short sentence with its transcript works best."
    )


def _without_long_voice_text(settings: PassSettings, known: KnownText) -> PassSettings:
    speeches = tuple(
        replace(speech, voice_transcript="")
        if len(speech_ids(speech.voice_transcript)) > known.longest_voice_text
        else speech
        for speech in settings.speeches
    )
    return replace(settings, speeches=speeches)
