"""Limits of a model that was taught few words: which these are, and the longest text of a reference voice.

The released model reads any text and has no such limits.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ....uniavgen_core.checkpoint.config_from_weights import KNOWN_TEXT_KEY
from ....uniavgen_core.config import TOON, TextConfig
from ....uniavgen_core.text.tokenize import speech_ids
from .pass_settings import KEY, PassSettings, pass_settings_of

SHOWN = 12
"""Most unknown words that a notice names."""
NO_TRANSCRIPT = (
    "No transcript reaches the sampler, so the person makes sounds of speech without words. Connect 'UniAVGen Speech "
    "Text' between the caption and this model's 'positive'."
)


@dataclass(frozen=True)
class KnownText:
    """Texts a model was trained on.

    Attributes:
        words: The words it can say, as they are written.
        longest_voice_text: Characters of the longest transcript of a reference voice.
    """

    words: tuple[str, ...]
    longest_voice_text: int


TOON_TEXT = replace(TOON.text, position_offset=13.3, position_scale=5.97)
"""Text geometry of the bundled model, whose file is older than the metadata that says what it knows."""
TOON_KNOWS = KnownText(
    words=(
        "hello", "bye", "yes", "no", "happy", "nice", "one", "two", "four", "five", "seven", "nine",
        "red", "orange", "moon", "star", "sun", "fish", "bird", "tiger", "dog", "robot", "water", "cloud",
    ),
    longest_voice_text=29,
)  # fmt: skip


def known_text_of(config: TextConfig, metadata: Mapping[str, str]) -> KnownText | None:
    """Read the texts a model knows from its checkpoint's metadata, or take the bundled model's; None for any text.

    Args:
        config: How the model reads.
        metadata: The file's. Its entry ``uniavgen_known_text`` is JSON of ``KnownText``, ``{}`` for no limits.
    """
    if KNOWN_TEXT_KEY in metadata:
        said = json.loads(metadata[KNOWN_TEXT_KEY])
        return KnownText(tuple(said["words"]), int(said["longest_voice_text"])) if said else None
    return TOON_KNOWS if config == TOON_TEXT else None


def unknown_words_notice(known: KnownText | None, conditioning: Sequence[Mapping]) -> str | None:
    """A notice about words of the transcripts that the model does not know; None if it knows all.

    Args:
        known: What the model knows; None for any text.
        conditioning: ComfyUI's conditionings of one kind, as dictionaries.
    """
    if known is None:
        return None
    texts = [speech.text or "" for options in conditioning for speech in pass_settings_of(options).speeches]
    unknown = [word for word in dict.fromkeys(" ".join(texts).split()) if word not in known.words]
    if not unknown:
        return None
    more = f" and {len(unknown) - SHOWN} more" if len(unknown) > SHOWN else ""
    named = ", ".join(f'"{word}"' for word in unknown[:SHOWN])
    return (
        f"This model was trained on {len(known.words)} words and will say others wrongly, here: "
        f"{named}{more}. It knows, in lower case and without punctuation: "
        f"{', '.join(known.words)}."
    )


def without_long_voice_texts(known: KnownText | None, conditioning: Sequence[dict]) -> tuple[list[dict], str | None]:
    """Drop transcripts of reference voices that are longer than any the model was trained on.

    Args:
        known: What the model knows; None for any text.
        conditioning: ComfyUI's conditionings of one kind, as dictionaries.

    Returns:
        The conditionings, and a notice if one was changed.
    """
    if known is None:
        return list(conditioning), None
    lengths = [
        len(speech_ids(speech.voice_text))
        for options in conditioning
        for speech in pass_settings_of(options).speeches
        if speech.voice_text
    ]
    if max(lengths, default=0) <= known.longest_voice_text:
        return list(conditioning), None
    changed = [_with_pass(options, _shortened(pass_settings_of(options), known)) for options in conditioning]
    return changed, (
        f"The transcript of the reference voice has {max(lengths)} characters; this model was trained on at most "
        f"{known.longest_voice_text} and would say wrong words, so it gets the voice without its transcript. A voice "
        "of one short sentence, with its transcript, is copied best."
    )


def _shortened(run: PassSettings, known: KnownText) -> PassSettings:
    """A pass without those transcripts of reference voices that are too long."""
    return replace(
        run,
        speeches=tuple(
            replace(speech, voice_text="") if len(speech_ids(speech.voice_text)) > known.longest_voice_text else speech
            for speech in run.speeches
        ),
    )


def _with_pass(options: dict, run: PassSettings) -> dict[str, Any]:
    return {**options, KEY: run}
