"""Which layers get more bits, as llama.cpp's "M" mixes choose them."""

import pytest

from uniavgen_core.checkpoint.gguf_quants import BlockKind
from uniavgen_core.checkpoint.quantize_weights import MIXES

BLOCKS = 24
FINER = [0, 1, 2, 5, 8, 11, 14, 17, 20, 21, 22, 23]
"""The first and the last eighth, and every third block between."""


@pytest.mark.parametrize("layer", ["self_attn.v", "cross_attn.v", "ffn.2"])
def test_values_and_second_feed_forward_layers_get_more_bits_in_the_outer_eighths_and_every_third_block(layer):
    kinds = [MIXES["Q4_K_M"].kind_of(f"blocks.{number}.{layer}", BLOCKS, 256) for number in range(BLOCKS)]
    assert [number for number, kind in enumerate(kinds) if kind is BlockKind.Q6_K] == FINER
    assert {kind for number, kind in enumerate(kinds) if number not in FINER} == {BlockKind.Q4_K}


@pytest.mark.parametrize("layer", ["self_attn.q", "self_attn.k", "self_attn.o", "ffn.0"])
def test_other_layers_never_get_more_bits(layer):
    kinds = {MIXES["Q4_K_M"].kind_of(f"audio_blocks.{number}.{layer}", BLOCKS, 256) for number in range(BLOCKS)}
    assert kinds == {BlockKind.Q4_K}


def test_rows_that_are_no_whole_blocks_fall_back_to_smaller_blocks_or_stay():
    mix = MIXES["Q4_K_M"]
    assert mix.kind_of("blocks.4.ffn.0", BLOCKS, 256 + 32) is BlockKind.Q8_0
    assert mix.kind_of("blocks.4.ffn.0", BLOCKS, 256 + 16) is None
