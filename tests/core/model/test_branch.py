"""A transformer block, its modulation and its rotary embedding, against formulas and torch's own layers."""

import math

import pytest
import torch
import torch.nn.functional as F

from uniavgen_core.config import BranchConfig
from uniavgen_core.layers import rope
from uniavgen_core.layers.attention import Attention
from uniavgen_core.layers.backend import TORCH, attend
from uniavgen_core.layers.modulation import gated_add, modulate
from uniavgen_core.layers.rope import apply_rope, axis_pairs, rope_1d, rope_3d, rope_time_only, sinusoid
from uniavgen_core.model.branch import Block, Head, Stream, pad_text


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def vectors(*shape):
    return torch.randn(shape, dtype=torch.float64)


# Modulation.


def test_modulation_gives_each_time_step_its_own_shift_and_scale():
    tokens, shift, scale = vectors(2, 6, 4), vectors(2, 3, 4), vectors(2, 3, 4)
    got = modulate(tokens, shift, scale)
    for clip in range(2):
        for token in range(6):
            step = token // 2
            want = tokens[clip, token] * (1 + scale[clip, step]) + shift[clip, step]
            torch.testing.assert_close(got[clip, token], want)


def test_a_gate_weighs_the_update_of_its_own_time_step():
    tokens, update, gate = vectors(2, 6, 4), vectors(2, 6, 4), vectors(2, 3, 4)
    got = gated_add(tokens, update, gate)
    torch.testing.assert_close(got, tokens + update * gate.repeat_interleave(2, dim=1))


# Rotary embedding and time features.


def test_rotation_keeps_lengths_and_depends_on_distance_alone():
    q, k = vectors(1, 1, 2, 8), vectors(1, 1, 2, 8)
    products = []
    for shift in (0, 5, 40):
        at = rope_1d(torch.tensor([3.0 + shift, 7.0 + shift]), 8)
        a, b = apply_rope(q, at[:, :1]), apply_rope(k, at[:, 1:])
        torch.testing.assert_close(a.norm(), q.norm(), atol=1e-6, rtol=0)
        products.append((a * b).sum())
    torch.testing.assert_close(products[1:], products[:1] * 2, atol=2e-5, rtol=0)
    assert abs(products[0] - (q * k).sum()) > 1e-3


def test_neighbouring_channels_turn_together_by_the_position():
    x = torch.zeros(1, 1, 1, 8)
    x[..., 0] = 1
    rotated = apply_rope(x, rope_1d(torch.tensor([0.5]), 8))[0, 0, 0]
    assert rotated[:2].tolist() == pytest.approx([math.cos(0.5), math.sin(0.5)])
    assert rotated[2:].abs().max() == 0


def test_every_head_turns_alike():
    x = vectors(1, 5, 1, 8).repeat(1, 1, 3, 1)
    rotated = apply_rope(x, rope_1d(torch.arange(5), 8))
    torch.testing.assert_close(rotated[:, :, 0], rotated[:, :, 2])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_devices_without_complex_numbers_turn_alike(monkeypatch, dtype):
    x, table = vectors(2, 12, 3, 12).to(dtype), rope_3d(torch.arange(3.0), 2, 2, 12)
    rotated = apply_rope(x, table)
    monkeypatch.setattr(rope, "COMPLEX", ())
    torch.testing.assert_close(apply_rope(x, table), rotated)


def test_every_sequence_may_have_positions_of_its_own():
    x, positions = vectors(2, 3, 2, 8), torch.tensor([[0.0, 1.0, 2.0], [5.0, 0.5, 7.0]])
    rotated = apply_rope(x, rope_1d(positions, 8))
    for own, alone, at in zip(rotated, x, positions, strict=True):
        assert torch.equal(own, apply_rope(alone[None], rope_1d(at, 8))[0])


def test_a_table_holds_matrices_that_turn_back_and_forth():
    table = rope_3d(torch.arange(3.0), 2, 2, 12)
    x = vectors(1, 12, 1, 6, 2)
    rotated = (table.double() @ x.double()[..., None])[..., 0].to(x)
    torch.testing.assert_close(rotated.flatten(-2), apply_rope(x.flatten(-2), table))
    torch.testing.assert_close(apply_rope(rotated.flatten(-2), table.mT.contiguous()), x.flatten(-2))


@pytest.mark.parametrize(("width", "split"), [(128, (22, 21, 21)), (32, (6, 5, 5)), (12, (2, 2, 2))])
def test_pairs_are_split_over_time_row_and_column(width, split):
    assert axis_pairs(width) == split
    grid = rope_3d(torch.tensor([0.0, 3.0]), 2, 5, width)[0, :, 0].unflatten(0, (2, 2, 5))
    bounds = (0, split[0], split[0] + split[1], sum(split))
    steps = ((1, 0, 0), (0, 1, 0), (0, 0, 1))
    for axis, step in enumerate(steps):
        moved = (grid[0, 0, 0] != grid[step]).flatten(-2).any(-1)
        expected = torch.zeros(sum(split), dtype=torch.bool)
        expected[bounds[axis] : bounds[axis + 1]] = True
        assert torch.equal(moved, expected)


def test_window_keys_turn_in_their_time_pairs_as_in_a_line():
    times = torch.arange(9.0)
    line, window = rope_1d(times, 32), rope_time_only(times, 32)
    torch.testing.assert_close(window[..., :6, :, :], line[..., :6, :, :])
    assert (window[..., 6:, :, :] == torch.eye(2)).all()


def test_time_features_are_cosines_then_sines_at_falling_frequencies():
    features = sinusoid(torch.tensor([0.0, 2.0]), 6)
    assert features[0].tolist() == [1, 1, 1, 0, 0, 0]
    rates = [1.0, 10_000 ** (-1 / 3), 10_000 ** (-2 / 3)]
    want = [math.cos(2 * rate) for rate in rates] + [math.sin(2 * rate) for rate in rates]
    assert features[1].tolist() == pytest.approx(want, abs=1e-7)


# Attention and blocks.


def test_attention_without_masks_is_torchs():
    q, k, v = vectors(2, 5, 8), vectors(2, 7, 8), vectors(2, 7, 8)
    reference = torch.nn.MultiheadAttention(8, 2, bias=False, batch_first=True, dtype=torch.float64)
    reference.in_proj_weight.data = torch.eye(8, dtype=torch.float64).repeat(3, 1)
    reference.out_proj.weight.data = torch.eye(8, dtype=torch.float64)
    torch.testing.assert_close(attend(q, k, v, 2), reference(q, k, v)[0])
    hidden = torch.arange(7) >= torch.tensor([[4], [7]])
    torch.testing.assert_close(attend(q, k, v, 2, mask=~hidden), reference(q, k, v, key_padding_mask=hidden)[0])


def test_queries_and_keys_are_normalised_over_all_heads_together():
    layer = Attention(8, 8, 2, TORCH).double()
    x = vectors(1, 3, 8)
    scaled = Attention(8, 8, 2, TORCH).double()
    scaled.load_state_dict(layer.state_dict())
    for part in (scaled.q, scaled.k):
        part.weight.data *= 7
        part.bias.data *= 7
    torch.testing.assert_close(scaled(x, x), layer(x, x), atol=1e-5, rtol=1e-5)
    scaled.q.weight.data[:4] /= 7  # one head alone
    assert (scaled(x, x) - layer(x, x)).abs().max() > 1e-3


def test_a_block_is_the_formula_of_the_description():
    config = BranchConfig(8, 12, 2)
    block = Block(config, TORCH).double()
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    tokens, text = vectors(1, 6, 8), vectors(1, 3, 8)
    stream = Stream(tokens, vectors(1, 3, 8), vectors(1, 3, 6, 8), rope_1d(torch.arange(6), 4), text)
    six = (block.modulation[:, None] + stream.modulation).repeat_interleave(2, dim=1).unbind(2)
    x = tokens
    normed = F.layer_norm(x, (8,), eps=1e-6) * (1 + six[1]) + six[0]
    x = x + six[2] * block.self_attn(normed, normed, (stream.rope, stream.rope))
    x = x + block.cross_attn(F.layer_norm(x, (8,), block.norm3.weight, block.norm3.bias, 1e-6), text)
    inside = block.ffn[0](F.layer_norm(x, (8,), eps=1e-6) * (1 + six[4]) + six[3])
    x = x + six[5] * block.ffn[2](F.gelu(inside, approximate="tanh"))
    torch.testing.assert_close(block(stream), x)


def test_a_head_adds_the_time_to_both_of_its_vectors():
    head = Head(8, 3, TORCH).double()
    torch.nn.init.normal_(head.modulation)
    tokens, temb = vectors(1, 6, 8), vectors(1, 3, 8)
    shift, scale = (head.modulation[:, i : i + 1] + temb.repeat_interleave(2, dim=1) for i in (0, 1))
    want = head.head(F.layer_norm(tokens, (8,), eps=1e-6) * (1 + scale) + shift)
    torch.testing.assert_close(head(tokens, temb), want)


def test_text_is_cut_and_filled_to_length():
    text = vectors(1, 3, 2)
    assert torch.equal(pad_text(text, 2), text[:, :2])
    assert torch.equal(pad_text(text, 5)[:, :3], text)
    assert pad_text(text, 5)[:, 3:].abs().max() == 0
