"""Talking toons: seeded synthetic clips of a drawn face with an espeak-ng voice, for training and tests."""

from .clip import ToonClip, film, make_clip
from .pair import ToonPair, film_pair, make_pair
from .scene import ToonScene, make_scene
from .sentence import split_of
from .speech import (
    TEXT_POSITION_OFFSET,
    TEXT_POSITION_SCALE,
    VOICES,
    Emotion,
    Line,
    ToonSpeech,
    make_speech,
    recite,
    speak,
)
from .world import LIVELY, STEADY, WORDS, World

__all__ = [
    "LIVELY",
    "STEADY",
    "TEXT_POSITION_OFFSET",
    "TEXT_POSITION_SCALE",
    "VOICES",
    "WORDS",
    "Emotion",
    "Line",
    "ToonClip",
    "ToonPair",
    "ToonScene",
    "ToonSpeech",
    "World",
    "film",
    "film_pair",
    "make_clip",
    "make_pair",
    "make_scene",
    "make_speech",
    "recite",
    "speak",
    "split_of",
]
