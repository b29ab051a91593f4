"""A user's sound: what is refused, what is said about it, and its way to 24 kHz."""

from math import pi

import pytest
import torch

from uniavgen_core.media.audio.sound import Sound, at_rate, cut, to_model_sound
from uniavgen_core.media.audio.sound_checks import check_user_sound


def noise(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) - 0.5


def tone(hertz, sample_rate, seconds=1.0):
    return torch.sin(2 * pi * hertz * torch.arange(round(seconds * sample_rate), dtype=torch.float64) / sample_rate)


def sines(sample_rate, seconds=1.0):
    return sum(0.2 * tone(hertz, sample_rate, seconds) for hertz in (300, 1_000, 3_000)).float()


def notices(waveform, sample_rate=24_000):
    return check_user_sound(Sound(waveform, sample_rate), "the voice")


@pytest.mark.parametrize("sample_rate", [16_000, 24_000, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_ordinary_sound_is_accepted_without_a_word(sample_rate, channels):
    assert notices(noise(channels, sample_rate), sample_rate) == []


@pytest.mark.parametrize(
    ("waveform", "message"),
    [
        (torch.zeros(1, 0), "The voice is empty"),
        (torch.zeros(0, 500), "The voice is empty"),
        (torch.zeros(1, 1), "The voice has 1 sample, 0.0000 s; it must last at least 0.05 s"),
        (torch.zeros(2, 1_199), "The voice has 1199 samples, 0.0500 s"),
        (torch.zeros(1, 24_000, dtype=torch.int16), "samples of the voice are torch.int16"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(waveform, message):
    with pytest.raises(ValueError, match=message):
        notices(waveform)


def test_a_twentieth_of_a_second_is_enough():
    assert notices(noise(2, 1_200)) == []


@pytest.mark.parametrize(("value", "name"), [("nan", "NaN"), ("inf", "infinity"), ("-inf", "infinity")])
@pytest.mark.parametrize("place", [12_000, (1 << 20) + 24_000])
def test_the_first_value_that_is_not_finite_is_pointed_out(value, name, place):
    waveform = noise(2, (1 << 20) + 48_000)
    waveform[1, place] = float(value)
    waveform[0, place + 5] = float("nan")
    with pytest.raises(ValueError, match=f"The voice holds {name} at {place / 24_000:.3f} s in channel 2"):
        notices(waveform)


@pytest.mark.parametrize("sample_rate", [0, -44_100, 999])
def test_absurd_rates_are_refused(sample_rate):
    with pytest.raises(ValueError, match=f"sample rate of the voice is {sample_rate} Hz"):
        notices(noise(1, 24_000), sample_rate)


def test_a_waveform_with_a_batch_is_not_a_sound():
    with pytest.raises(ValueError, match="channels, samples"):
        Sound(torch.zeros(1, 2, 100), 24_000)


@pytest.mark.parametrize(("level", "hiss"), [(0.0, 0.0), (0.0, 1e-4), (0.5, 1e-4)])
def test_silence_is_noticed_with_an_offset_too_and_nothing_else_is_said(level, hiss):
    (notice,) = notices(torch.full((2, 24_000), level) + hiss * noise(2, 24_000))
    assert notice.startswith("The voice is silent")


def test_a_faint_sound_is_not_silence():
    assert notices(1e-3 * noise(1, 24_000)) == []


def test_cut_off_peaks_are_noticed_and_a_loud_sound_is_not():
    loud = noise(1, 24_000)
    loud = loud / loud.abs().max()
    assert notices(loud) == []
    (notice,) = notices((2 * sines(24_000) + 2 * noise(24_000)).clamp(-1, 1)[None])
    assert "is clipped" in notice
    assert not any("clipped" in notice for notice in notices(tone(441, 24_000).float()[None]))
    for one_sided in ((loud * 3).clamp(-0.7, 32_767 / 32_768), (loud * 3).clamp(-1, 0.7)):
        (notice,) = notices(one_sided)
        assert "is clipped" in notice


def test_a_peak_above_full_scale_is_noticed_on_either_side():
    for sign in (1, -1):
        waveform = noise(2, (1 << 20) + 24_000)
        waveform[1, 7] = sign * 1.5
        (notice,) = notices(waveform)
        assert "goes above full scale: its loudest sample is 1.50" in notice


@pytest.mark.parametrize("sample_rate", [24_000, 48_000])
def test_telephone_sound_is_noticed_at_any_rate(sample_rate):
    narrow = Sound(sines(8_000)[None], 8_000)
    for sound in (narrow, at_rate(narrow, sample_rate)):
        (notice,) = check_user_sound(sound, "the voice")
        assert "nothing above 4 kHz" in notice
    assert notices(sines(sample_rate)[None] + 0.02 * tone(5_000, sample_rate).float(), sample_rate) == []


def test_channels_that_cancel_are_noticed():
    left = noise(24_000)
    (notice,) = notices(torch.stack([left, -left]))
    assert "channels of the voice cancel" in notice


def test_a_very_long_sound_is_noticed():
    (notice,) = notices(noise(1, 16_000).repeat(1, 30 * 60), 16_000)
    assert "30 minutes long" in notice


def test_looking_through_a_sound_leaves_it_as_it_was():
    waveform = noise(2, 44_100) * 4
    before = waveform.clone()
    check_user_sound(Sound(waveform, 44_100), "it")
    to_model_sound(Sound(waveform, 44_100))
    assert torch.equal(waveform, before)


def test_a_cut_is_exact_and_copies_nothing():
    sound = Sound(noise(2, 44_100), 44_100)
    part = cut(sound, 0.25, 0.5)
    assert torch.equal(part.waveform, sound.waveform[:, 11_025:22_050])
    assert part.waveform.data_ptr() == sound.waveform[:, 11_025:].data_ptr()
    assert torch.equal(cut(sound, 0.25, 9.0).waveform, sound.waveform[:, 11_025:])


@pytest.mark.parametrize(("start", "stop"), [(0.5, 0.5), (0.7, 0.2), (1.0, 2.0), (-0.5, 0.5)])
def test_a_cut_without_sound_is_refused(start, stop):
    with pytest.raises(ValueError, match="lasts from 0 to 1 s"):
        cut(Sound(noise(1, 24_000), 24_000), start, stop)


@pytest.mark.parametrize("sample_rate", [8_000, 16_000, 44_100, 48_000])
def test_the_network_hears_every_channel_at_its_own_pitch(sample_rate):
    left, right = 0.5 * tone(300, sample_rate).float(), 0.5 * tone(1_000, sample_rate).float()
    found = to_model_sound(Sound(torch.stack([left, right]), sample_rate))
    expected = (tone(300, 24_000) + tone(1_000, 24_000)) / 4
    assert found.shape == (24_000,)
    assert (found - expected)[500:-500].abs().max() < 2e-3


@pytest.mark.parametrize("sample_rate", [11_025, 44_100, 48_000])
def test_another_rate_keeps_pitch_level_place_and_channels(sample_rate):
    found = at_rate(Sound(torch.stack([sines(24_000), -sines(24_000)]), 24_000), sample_rate)
    expected = sines(sample_rate)
    assert (found.sample_rate, found.samples) == (sample_rate, sample_rate)
    assert (found.waveform - torch.stack([expected, -expected]))[:, 500:-500].abs().max() < 3e-3


def test_the_same_rate_changes_no_sample():
    sound = Sound(noise(2, 1_000), 44_100)
    assert torch.equal(at_rate(sound, 44_100).waveform, sound.waveform)
    assert Sound(noise(2, 1_000), 500).seconds == 2.0
