"""Emotions written into captions."""

import numpy as np
import pytest

from toon.clips.motion import MOVEMENTS, write_caption
from toon.clips.speech import Emotion
from uniavgen_core.bundled.hashed_captions import words
from uniavgen_core.text.emotion import EMOTIONS, STRENGTHS, write_emotion


@pytest.mark.parametrize("wanted", list(Emotion))
@pytest.mark.parametrize("given", list(Emotion))
def test_a_toons_caption_becomes_the_caption_of_the_wanted_emotion(given, wanted):
    for seed in range(6):
        caption = write_caption(np.random.default_rng(seed), given, MOVEMENTS[seed % 5], "red")
        expected = write_caption(np.random.default_rng(seed), wanted, MOVEMENTS[seed % 5], "red")
        written, notices = write_emotion(caption, wanted.name.lower())
        assert written == expected
        assert bool(notices) == (given != wanted)


@pytest.mark.parametrize(
    "caption", ["", "Studio light.", "A toon nods.", "She speaks calmly.", "She is not happy.", "In disgust, a man"]
)
@pytest.mark.parametrize("emotion", EMOTIONS)
@pytest.mark.parametrize("strength", STRENGTHS)
def test_the_emotion_is_a_word_of_every_caption_and_no_other_one_is(caption, emotion, strength):
    written = words(write_emotion(caption, emotion, strength)[0])
    assert [word for word in EMOTIONS if word in written] == [emotion]
    assert ("very" in written) == (strength == "strong")
    assert ("slightly" in written) == (strength == "slight")


@pytest.mark.parametrize(
    ("caption", "written"),
    [
        ("A toon with red hair nods.", "A very angry toon with red hair nods."),
        ("A photo of an old man, the sea.", "A photo of a very angry old man, the sea."),
        ("A man and a woman.", "A very angry man and a woman."),
        ("The young woman smiles.", "The very angry young woman smiles."),
        ("Close-up in studio light.", "The person is very angry. Close-up in studio light."),
        ("She is slightly Amused and so sad.", "She is slightly Amused and very angry."),
        ("Furious, he speaks cheerfully and sadly.", "Very angry, he speaks cheerfully and very angrily."),
    ],
)
def test_the_word_stands_where_a_writer_would_put_it(caption, written):
    assert write_emotion(caption, "angry", "strong")[0] == written


def test_an_adverb_of_two_words_takes_no_strength():
    written, _ = write_emotion("He speaks angrily.", "surprised", "strong")
    assert written == "The person is very surprised. He speaks in surprise."


def test_the_article_fits_the_word_after_it():
    assert write_emotion("An angry toon", "happy")[0] == "A happy toon"
    assert write_emotion("A happy toon", "angry")[0] == "An angry toon"
    assert write_emotion("I see a man", "angry")[0] == "I see an angry man"


def test_a_replaced_emotion_is_reported():
    assert write_emotion("He is not happy.", "sad")[1] == ("'not happy' in the caption became 'sad'.",)


def test_a_caption_that_looks_otherwise_is_reported_and_left():
    written, notices = write_emotion("A man, smiling. 她很生气", "sad")
    assert written == "A sad man, smiling. 她很生气"
    assert [notice.split(",")[0] for notice in notices] == [
        "The caption says 'smiling'", "The caption says '生气'",
    ]  # fmt: skip
    assert write_emotion("A man, smiling", "happy")[1] == ()


@pytest.mark.parametrize(("emotion", "strength"), [("bored", "normal"), ("happy", "huge")])
def test_an_unknown_emotion_or_strength_is_refused_with_the_known_ones(emotion, strength):
    with pytest.raises(ValueError, match=f"'{emotion}', {strength}; known are calm, happy"):
        write_emotion("", emotion, strength)
