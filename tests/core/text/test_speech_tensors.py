"""Where characters are expected: counted through as released, or passage by passage at a fixed rate."""

from uniavgen_core.config import TextConfig
from uniavgen_core.text.speech_tensors import SpokenText

FIXED_RATE = TextConfig(position_offset=10.0, position_scale=5.0)
TEXT = "twelve signs"


def test_the_released_network_counts_characters_wherever_passages_begin():
    spoken = SpokenText(TEXT, start=130.0, voice_transcript="hi", kept_transcript="yes")
    assert spoken.positions(TextConfig(), 50) == tuple(range(len("hi yes " + TEXT)))


def test_at_a_fixed_rate_characters_are_spaced_as_the_network_spaces_them_itself():
    assert SpokenText(TEXT).positions(FIXED_RATE, 0) == tuple(i * 5.0 + 10.0 for i in range(12))


def test_at_a_fixed_rate_a_later_passage_moves_as_a_whole():
    early = SpokenText(TEXT).positions(FIXED_RATE, 0)
    assert SpokenText(TEXT, start=42.5).positions(FIXED_RATE, 0) == tuple(p + 42.5 for p in early)


def test_voice_kept_sound_and_text_keep_their_order_and_their_own_starts():
    spoken = SpokenText(TEXT, start=100.0, voice_transcript="a", kept_transcript="b")
    assert spoken.positions(FIXED_RATE, 1000)[:6] == (10, 15, 1010, 1015, 1110, 1115)
