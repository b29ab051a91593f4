"""Where characters are expected: counted through as released, or passage by passage at a fixed rate."""

from uniavgen_core.config import TextConfig
from uniavgen_core.text.text_positions import Passage, character_positions

FIXED_RATE = TextConfig(position_offset=10.0, position_scale=5.0)


def test_the_released_network_counts_characters_wherever_passages_begin():
    passages = [Passage(3, start=0.0), Passage(2, start=130.0)]
    assert character_positions(passages, TextConfig()) == (0, 1, 2, 3, 4)


def test_at_a_fixed_rate_a_later_passage_moves_as_a_whole():
    early = character_positions([Passage(3)], FIXED_RATE)
    assert early == (10, 15, 20)
    assert character_positions([Passage(3, start=42.5)], FIXED_RATE) == tuple(p + 42.5 for p in early)


def test_passages_keep_their_order_and_their_own_starts():
    assert character_positions([Passage(2), Passage(2, start=100.0)], FIXED_RATE) == (10, 15, 110, 115)


def test_a_passage_of_a_fixed_rate_without_a_start_is_spaced_as_the_network_spaces_it_itself():
    assert character_positions([Passage(4)], FIXED_RATE) == tuple(i * 5.0 + 10.0 for i in range(4))
