"""Speech text to ids, and captions to features. Chinese is held by the recorded numbers in tests/parity."""

import sys

import pytest
import torch

from uniavgen_core.bundled.hashed_captions import hashed_features, words
from uniavgen_core.text import tokenize as tokenizer
from uniavgen_core.text.tokenize import (
    FILLER,
    NULL_SPEECH,
    join_reference,
    pad_speech_ids,
    speech_ids,
    tokenize,
    unknown_characters,
    vocabulary,
)


@pytest.fixture
def without(monkeypatch):
    """Make a package impossible to import, and forget that it was imported before."""

    def hide(package):
        tokenizer.chinese_reader.cache_clear()
        monkeypatch.setitem(sys.modules, package, None)

    yield hide
    tokenizer.chinese_reader.cache_clear()


def test_english_ids_spell_the_text_itself():
    text = "Say: 7 owls; OK?  Yes!"
    entries = {number: entry for entry, number in vocabulary().items()}
    assert "".join(entries[number] for number in speech_ids(text)) == text


def test_every_vocabulary_entry_has_its_own_number():
    assert sorted(vocabulary().values()) == list(range(2545))


def test_an_unknown_character_reads_as_a_space():
    assert speech_ids("a😀b") == speech_ids("a b")


def test_unknown_characters_are_listed_once_each_in_order():
    assert unknown_characters("“Hi” 😀 “you”, café☃") == ["“", "”", "😀", "☃"]


def test_unknown_white_space_is_not_reported():
    assert unknown_characters("one\ttwo\nthree four") == []


def test_short_ids_get_filler_and_long_ids_get_none():
    assert pad_speech_ids((5, 6, *range(6))) == (5, 6, *range(6), FILLER, FILLER)
    assert pad_speech_ids(tuple(range(11))) == tuple(range(11))


def test_the_empty_text_is_the_null_text():
    assert pad_speech_ids(speech_ids("")) == NULL_SPEECH
    assert NULL_SPEECH.count(FILLER) == len(NULL_SPEECH) - 1 == 9


def test_a_reference_text_goes_first_and_stays_in_the_null_text():
    assert join_reference("Hello.", "Bye.") == "Hello. Bye."
    assert join_reference("Hello.", "") == "Hello. "
    assert join_reference("", "Bye.") == "Bye."


@pytest.mark.parametrize("package", ["jieba", "pypinyin"])
def test_chinese_without_its_packages_names_them(without, package):
    without(package)
    with pytest.raises(ImportError, match="pip install jieba pypinyin"):
        tokenize("hello 你好")


@pytest.mark.parametrize("package", ["jieba", "pypinyin"])
def test_english_needs_no_chinese_package(without, package):
    without(package)
    assert tokenize("hello") == list("hello")


def test_words_are_lower_cased_and_free_of_punctuation():
    assert words("A HAPPY man, nodding; 2 reds_blues (Été)") == [
        "a",
        "happy",
        "man",
        "nodding",
        "2",
        "reds",
        "blues",
        "été",
    ]


def test_captions_with_the_same_words_are_the_same():
    assert torch.equal(hashed_features("An angry toon."), hashed_features("an ANGRY, toon"))


def test_a_word_has_one_vector_wherever_it_stands():
    position = hashed_features("x y z", dim=16) - hashed_features("z z z", dim=16)
    assert position[2].abs().max() == 0
    moved = hashed_features("red blue") - hashed_features("blue red")
    torch.testing.assert_close(moved[0], -moved[1])


def test_the_order_of_words_can_be_heard_but_is_quieter_than_the_words():
    places = hashed_features("red " * 32)
    distances = torch.cdist(places, places) + torch.eye(32) * 100
    assert distances.min() > 0.1
    assert (distances - torch.eye(32) * 100).max() < torch.dist(hashed_features("red"), hashed_features("blue"))


def test_word_vectors_are_standard_and_unrelated():
    features = torch.cat([hashed_features(f"word{number}", dim=64) for number in range(400)])
    features = features - 0.25 * (torch.arange(64) >= 32)  # the position code of the first word
    assert abs(float(features.mean())) < 0.02
    assert abs(float(features.var()) - 1) < 0.02
    related = torch.corrcoef(features) - torch.eye(400)
    assert related.abs().max() < 0.7
    assert abs(float(related.mean())) < 0.02


def test_word_vectors_never_change():
    expected = torch.tensor([[1.2017, -0.6033, 1.3101, -0.7353]])
    torch.testing.assert_close(hashed_features("happy", dim=4), expected, rtol=0, atol=1e-4)


def test_the_null_caption_is_one_fixed_vector():
    assert hashed_features("").shape == (1, 64)
    assert torch.equal(hashed_features(""), hashed_features(" ,.! "))
    assert hashed_features("").abs().sum() > 0


def test_a_long_caption_keeps_its_first_words():
    assert torch.equal(hashed_features("a b c d", length=2), hashed_features("a b"))
