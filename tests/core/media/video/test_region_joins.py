"""Generated pixels join a user's picture: untouched outside, no step at the edge, untouched where nothing is known."""

import pytest
import torch

from uniavgen_core.media.video.region_joins import join_region

HEIGHT, WIDTH = 90, 121


@pytest.fixture
def own():
    return torch.rand(20, HEIGHT, WIDTH, 3, generator=torch.Generator().manual_seed(0)) * 0.6 + 0.2


@pytest.fixture
def region():
    region = torch.zeros(20, HEIGHT, WIDTH)
    region[:, 30:70, 40:90] = 1
    region[:, 30, 40:90] = 0.5
    return region


def test_outside_the_region_every_pixel_is_the_users_bit_for_bit(own, region):
    joined = join_region(own, torch.rand_like(own), region)
    assert torch.equal(joined[region == 0], own[region == 0])


def test_another_colour_around_the_region_is_taken_from_what_is_generated_inside(own, region):
    shift = torch.tensor([0.05, -0.03, 0.1])
    joined = join_region(own, own + shift, region)
    torch.testing.assert_close(joined, own, rtol=0, atol=2e-3)


def test_inside_the_generated_picture_shows_and_at_soft_edges_a_mix(own, region):
    new = own.clone()
    new[:, 40:60, 50:80] = 0.9
    joined = join_region(own, new, region)
    torch.testing.assert_close(joined[:, 40:60, 50:80], new[:, 40:60, 50:80], rtol=0, atol=1e-5)
    black = torch.where(region[..., None] > 0, 0.0, own)
    torch.testing.assert_close(join_region(own, black, region)[:, 30, 50:80], own[:, 30, 50:80] / 2, rtol=0, atol=1e-5)


def test_a_region_of_everything_is_the_generated_picture(own):
    new = torch.rand_like(own)
    torch.testing.assert_close(join_region(own, new, torch.ones(own.shape[:3])), new)


@pytest.mark.parametrize("drift", [0.03, 0.1])
@pytest.mark.parametrize("columns", [slice(45, 60), slice(30, 100)])
def test_what_only_one_of_the_pictures_shows_beside_the_region_leaves_no_glow_in_it(own, region, columns, drift):
    """A blink just above new lips: the user's eyes are shut, the generated ones open."""
    shift = drift * torch.tensor([0.7, -0.3, 1.0])
    blinking, generated = own.clone(), own + shift
    blinking[:, 12:30, columns], generated[:, 12:30, columns] = 1.0, 0.0
    joined = join_region(blinking, generated, region)
    inside = region == 1
    torch.testing.assert_close(joined[inside], own[inside], rtol=0, atol=2e-2)
