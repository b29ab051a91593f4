"""Picture sizes and resizing."""

import pytest
import torch

from uniavgen_core.media.video.frames import fit_size, resize


@pytest.mark.parametrize("short_side", [128, 736])
def test_the_short_side_is_exact_and_the_long_side_is_the_next_multiple_of_32(short_side):
    for short in range(60, 1100, 7):
        for long in range(short, 2200, 97):
            width, height = fit_size(long, short, short_side)
            assert height == short_side
            assert width % 32 == 0
            assert 0 <= width * short - long * short_side < 32 * short


def test_turning_a_picture_turns_its_size():
    assert fit_size(832, 480) == fit_size(480, 832)[::-1]


@pytest.mark.parametrize(("size", "message"), [((0, 5, 736), "0 x 5"), ((5, 5, 700), "700"), ((5, 5, 0), "0")])
def test_impossible_sizes_are_refused(size, message):
    with pytest.raises(ValueError, match=message):
        fit_size(*size)


def test_resizing_to_the_same_size_only_rounds_to_8_bits():
    pictures = torch.rand(2, 5, 7, 3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(resize(pictures, 7, 5), (pictures * 255).round() / 255)


def test_a_ramp_stays_a_ramp_in_the_direction_it_rises():
    columns = torch.linspace(0, 1, 64).view(1, 1, 64, 1).expand(1, 16, 64, 3)
    resized = resize(columns, width=128, height=24)
    assert resized.shape == (1, 24, 128, 3)
    expected = ((torch.arange(128) + 0.5) / 2 - 0.5).clamp(0, 63) / 63
    assert (resized - expected.view(1, 1, 128, 1)).abs().max() < 1.01 / 255


def test_shrinking_averages_instead_of_skipping_pixels():
    stripes = (torch.arange(64) % 2).float().view(1, 64, 1, 1).expand(1, 64, 8, 3)
    inner = resize(stripes, width=8, height=8)[:, 1:-1]
    assert (inner - 0.5).abs().max() < 0.03


def test_an_edge_gets_no_halo():
    step = torch.full((1, 8, 8, 3), 0.2)
    step[:, :, 4:] = 0.8
    resized = resize(step, 32, 32)
    assert resized.min() == step.min()
    assert resized.max() == step.max()


def test_channels_and_pictures_do_not_mix():
    pictures = torch.zeros(2, 8, 8, 3)
    pictures[1, ..., 2] = 1
    resized = resize(pictures, 16, 12)
    assert resized.sum() == resized[1, ..., 2].sum() == 16 * 12


def test_values_out_of_range_are_clipped():
    assert resize(torch.full((1, 2, 2, 3), 1.5), 4, 4).max() == 1
    assert resize(torch.full((1, 2, 2, 3), -0.5), 4, 4).min() == 0


@pytest.mark.parametrize("shape", [(1, 4, 4, 4), (1, 4, 4, 1), (4, 4, 3), (0, 4, 4, 3), (1, 0, 4, 3)])
def test_what_is_not_rgb_pictures_is_refused(shape):
    with pytest.raises(ValueError, match="expected RGB"):
        resize(torch.zeros(shape), 8, 8)


def test_values_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="finite"):
        resize(torch.full((1, 2, 2, 3), float("nan")), 8, 8)


def test_an_empty_new_size_is_refused():
    with pytest.raises(ValueError, match="0 x 8"):
        resize(torch.zeros(1, 2, 2, 3), 0, 8)
