"""Masks on pictures as weights of latents."""

import pytest
import torch

from uniavgen_core.media.video.latent_masks import to_latent_mask


def test_one_mask_stands_for_all_frames():
    mask = torch.zeros(1, 32, 64)
    mask[:, :, 32:] = 1
    latent = to_latent_mask(mask, (3, 2, 4))
    assert latent.shape == (3, 2, 4)
    assert torch.equal(latent, torch.tensor([0.0, 0, 1, 1]).expand(3, 2, 4))


def test_a_latent_has_the_largest_weight_of_its_four_frames():
    mask = torch.zeros(9, 16, 16)
    mask[6] = 0.75  # the second of latent 2's frames, 5 to 8
    assert to_latent_mask(mask, (3, 1, 1)).flatten().tolist() == [0, 0, 0.75]
    mask[0] = 1
    assert to_latent_mask(mask, (3, 1, 1)).flatten().tolist() == [1, 0, 0.75]


def test_a_latent_pixel_has_the_share_of_its_area():
    mask = torch.zeros(1, 16, 32)
    mask[0, :4, :16] = 1
    assert to_latent_mask(mask, (1, 1, 2)).flatten().tolist() == [0.25, 0]


def test_another_number_of_masks_is_spread_over_the_clip():
    halves = torch.tensor([0.25, 1.0])[:, None, None].expand(2, 16, 16)
    assert to_latent_mask(halves, (5, 1, 1)).flatten().tolist() == [0.25, 0.25, 0.25, 1, 1]


@pytest.mark.parametrize("mask", [torch.zeros(4, 4), torch.zeros(0, 4, 4), torch.full((1, 4, 4), torch.nan)])
def test_what_is_no_mask_is_refused(mask):
    with pytest.raises(ValueError, match="mask"):
        to_latent_mask(mask, (2, 1, 1))
