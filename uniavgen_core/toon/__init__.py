"""Talking toons: seeded synthetic clips of a drawn face with an espeak-ng voice, to train and test on."""

from .clip import ToonClip, film, make_clip
from .sentence import WORDS, split_of
from .speech import TEXT_POSITION_OFFSET, TEXT_POSITION_SCALE, VOICES, Emotion, ToonSpeech, make_speech, speak

__all__ = [
    "TEXT_POSITION_OFFSET",
    "TEXT_POSITION_SCALE",
    "VOICES",
    "WORDS",
    "Emotion",
    "ToonClip",
    "ToonSpeech",
    "film",
    "make_clip",
    "make_speech",
    "speak",
    "split_of",
]
