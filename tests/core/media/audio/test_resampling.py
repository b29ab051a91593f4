"""Any sound to 24 kHz, one channel."""

from math import ceil, pi

import pytest
import torch

from uniavgen_core.media.audio.sound import mix_down, resample


def tone(hertz, sample_rate, seconds=0.5):
    return torch.sin(
        2 * pi * hertz * torch.arange(round(seconds * sample_rate), dtype=torch.float64) / sample_rate
    ).float()


@pytest.mark.parametrize("sample_rate", [8_000, 11_025, 16_000, 22_050, 44_100, 44_101, 48_000, 96_000])
def test_a_tone_keeps_its_pitch_level_and_place(sample_rate):
    resampled = resample(tone(440, sample_rate), sample_rate)
    expected = tone(440, 24_000)[: len(resampled)]
    assert abs(len(resampled) - ceil(round(0.5 * sample_rate) * 24_000 / sample_rate)) <= 1
    assert (resampled - expected)[500:-500].abs().max() < 2e-3


def test_what_24_khz_cannot_carry_is_removed():
    assert resample(tone(15_000, 48_000), 48_000)[500:-500].abs().max() < 0.01


def test_24_khz_is_left_alone():
    waveform = tone(440, 24_000)
    assert torch.equal(resample(waveform, 24_000), waveform)


def test_clips_and_channels_are_resampled_apart():
    waveform = torch.stack([tone(300, 48_000), tone(500, 48_000)]).view(2, 1, -1)
    together = resample(waveform, 48_000)
    torch.testing.assert_close(together[1, 0], resample(tone(500, 48_000), 48_000))


def test_mixing_down_hears_both_sides():
    assert torch.equal(mix_down(torch.tensor([[[1.0, 0.0], [0.0, 0.5]]])), torch.tensor([[0.5, 0.25]]))


@pytest.mark.parametrize("sample_rate", [0, -24_000, 999])
def test_absurd_rates_are_refused(sample_rate):
    with pytest.raises(ValueError, match=f"sample_rate is {sample_rate}"):
        resample(torch.zeros(100), sample_rate)


def test_a_waveform_without_channels_cannot_be_mixed():
    with pytest.raises(ValueError, match="needs channels"):
        mix_down(torch.zeros(100))


@pytest.mark.parametrize("function", [mix_down, lambda waveform: resample(waveform, 48_000)])
@pytest.mark.parametrize("waveform", [torch.zeros(2, 0), torch.full((2, 9), float("inf")), torch.zeros(2, 9).int()])
def test_what_is_not_sound_is_refused(function, waveform):
    with pytest.raises(ValueError, match="waveform"):
        function(waveform)
