"""Sentences of the toons, and their split into training and held-out sentences.

The words of the steady world were chosen because espeak-ng speaks their letters at a nearly constant rate (most within
45 ms of 58 ms per letter and space), which makes letters and sound easy to align.
"""

from hashlib import sha256
from itertools import pairwise

import numpy as np

from uniavgen_core.shapes import FPS

from .delivery import SLOWEST
from .world import STEADY, World

SPLITS = ("train", "held_out")
HELD_OUT_SHARE = 0.1
_WORDS_A_SECOND = 2
_LETTERS_A_SECOND = 18.0
_UNSPOKEN_SECONDS = 0.4
_LIVELY_LETTERS_A_SECOND, _LIVELY_UNSPOKEN = 16.75 * SLOWEST, 0.25
_PHRASE_SHARE = 0.3
FEWEST_FRAMES = 12
"""Shortest time in which a lively toon says a word at its slowest, video frames at 16 fps."""


def split_of(sentence: str) -> str:
    """Split of a sentence, by its hash: a tenth of all sentences are ``held_out``, the others ``train``."""
    share = int.from_bytes(sha256(sentence.encode()).digest()[:4], "big") / 2**32
    return "held_out" if share < HELD_OUT_SHARE else "train"


def longest_sentence(video_frames: int, world: World = STEADY) -> int:
    """Largest number of characters of a sentence for a clip of this length at 16 fps."""
    if world.lively:
        return int((video_frames / FPS - _LIVELY_UNSPOKEN) * _LIVELY_LETTERS_A_SECOND)
    return int((video_frames / FPS - _UNSPOKEN_SECONDS) * _LETTERS_A_SECOND)


def draw_sentence(rng: np.random.Generator, video_frames: int, split: str, world: World = STEADY) -> str:
    """Sample a sentence of random words that can be spoken within a clip.

    Args:
        rng: Source of randomness.
        video_frames: Length of the clip at 16 fps; 33 frames hold two to four words.
        split: ``train`` or ``held_out``.
        world: Its words and phrases.

    Returns:
        Words joined by single spaces, in the steady world with a bias to more words; no word follows itself.

    Raises:
        ValueError: If the split is unknown, or the clip is too short for two words, in a lively world for one.
    """
    if split not in SPLITS:
        raise ValueError(f"split is {split!r}; it must be one of {', '.join(SPLITS)}.")
    if world.lively:
        return _draw_lively_sentence(rng, video_frames, split, world)
    most_words = int(_WORDS_A_SECOND * video_frames / FPS)
    if most_words < 2:
        raise ValueError(f"video_frames is {video_frames}; a toon needs at least {FPS} to say two words.")
    most_letters = longest_sentence(video_frames)
    while True:
        count = int(rng.integers(max(2, most_words // 2), most_words + 1, 2).max())
        words = [str(word) for word in rng.choice(world.words, count)]
        sentence = " ".join(words)
        repeats = any(first == second for first, second in pairwise(words))
        if not repeats and len(sentence) <= most_letters and split_of(sentence) == split:
            return sentence


def _draw_lively_sentence(rng: np.random.Generator, video_frames: int, split: str, world: World) -> str:
    """Sample one or more words and phrases, as many short sentences as long ones."""
    if video_frames < FEWEST_FRAMES:
        raise ValueError(f"video_frames is {video_frames}; a lively toon needs at least {FEWEST_FRAMES} to say a word.")
    most_letters = longest_sentence(video_frames, world)
    most_parts = max(1, most_letters // 6)
    while True:
        parts: list[str] = []
        for _ in range(int(rng.integers(1, most_parts + 1))):
            choices = world.phrases if rng.random() < _PHRASE_SHARE else world.words
            parts.append(choices[rng.integers(len(choices))])
        sentence = " ".join(parts)
        repeats = any(first == second for first, second in pairwise(sentence.split()))
        if not repeats and len(sentence) <= most_letters and split_of(sentence) == split:
            return sentence
