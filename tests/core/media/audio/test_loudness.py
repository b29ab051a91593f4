"""Loudness control of generated sound: what it changes, and what it must not."""

from math import pi

import pytest
import torch

from uniavgen_core.media.audio.loudness import (
    CEILING,
    LARGEST_GAIN_DB,
    LOOK_SECONDS,
    equal_loudness_gains,
    limited,
    under_ceiling,
)


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def tone(level, samples=24_000):
    return level * torch.sin(2 * pi * 150 * torch.arange(samples) / 24_000)[None]


def test_a_loud_clip_gets_one_gain_and_peaks_at_the_ceiling():
    clips = torch.stack([noise(2, 5_000), 0.1 * noise(2, 5_000, seed=1)])
    found = under_ceiling(clips)
    assert found[0].abs().max() == pytest.approx(CEILING)
    torch.testing.assert_close(found[0], clips[0] * (CEILING / clips[0].abs().max()))
    assert torch.equal(found[1], clips[1])


@pytest.mark.parametrize("level", [0.0, 1e-6, 0.5, CEILING])
def test_quiet_sound_and_silence_stay_as_they_are(level):
    clips = tone(level)[None]
    assert torch.equal(under_ceiling(clips), clips)
    assert torch.equal(limited(clips[0], 24_000), clips[0])


@pytest.mark.parametrize("rate", [8_000, 24_000, 48_000])
@pytest.mark.parametrize("place", [0, 1, 9_999, 19_999])
def test_the_limiter_holds_the_ceiling_and_leaves_what_is_away_from_the_peak(rate, place):
    sound = 0.1 * noise(2, 20_000).clamp(-3, 3)
    sound[1, place] = -3.0
    found = limited(sound, rate)
    assert found.abs().max() <= CEILING * 1.00001
    reach = 2 * round(LOOK_SECONDS * rate) + 1
    far = (torch.arange(20_000) - place).abs() > reach
    torch.testing.assert_close(found[:, far], sound[:, far])
    gain = found / sound
    torch.testing.assert_close(gain[0], gain[1])
    assert gain[0].diff().abs().max() < 2 / (LOOK_SECONDS * rate)


def test_the_limiter_does_not_bend_a_steady_wave():
    found = limited(tone(2.5), 24_000)[0, 2_000:-2_000]
    torch.testing.assert_close(found, (CEILING / 2.5) * tone(2.5)[0, 2_000:-2_000], rtol=0, atol=5e-3)


@pytest.mark.parametrize("level", [0.5, 1.0, 3.0])
def test_parts_get_the_gain_that_makes_them_equally_loud_whatever_their_peak(level):
    part = 0.2 * noise(24_000)
    assert equal_loudness_gains([part, level * part, part], 24_000) == pytest.approx([1, 1 / level, 1], rel=1e-3)


def test_a_part_is_raised_by_12_db_at_most():
    part = 0.2 * noise(24_000)
    gains = equal_loudness_gains([part, 0.05 * part, part], 24_000)
    assert gains == pytest.approx([1, 10 ** (LARGEST_GAIN_DB / 20), 1])


def test_a_silent_or_short_part_is_left_as_it_is():
    assert equal_loudness_gains([torch.zeros(24_000), noise(4_000), torch.zeros(0)], 24_000) == [1.0, 1.0, 1.0]
    assert equal_loudness_gains([torch.zeros(24_000), noise(24_000)], 24_000) == [1.0, 1.0]
