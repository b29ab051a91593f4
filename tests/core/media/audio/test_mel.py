"""The log-mel: where things land in time and frequency, and its scale. Exact values are held by tests/parity."""

from math import pi

import pytest
import torch
import torchaudio

from uniavgen_core.media.audio import mel


def tone(hertz, num_samples=24_000):
    return torch.sin(2 * pi * hertz * torch.arange(num_samples, dtype=torch.float64) / 24_000).float()


def noise(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0)) * 0.1


@pytest.mark.parametrize(("num_samples", "mel_frames"), [(24_000, 100), (121_500, 506), (480, 2), (719, 2), (720, 3)])
def test_a_second_has_100_frames_and_a_started_frame_is_dropped(num_samples, mel_frames):
    sound = noise(num_samples)
    found = mel.log_mel(sound)
    assert found.shape == (80, mel_frames)
    torch.testing.assert_close(found[:, :-2], mel.log_mel(sound[: 240 * mel_frames])[:, :-2])


def test_filters_agree_with_torchaudio():
    theirs = torchaudio.functional.melscale_fbanks(513, 0.0, 8_000.0, 80, 24_000, norm="slaney", mel_scale="slaney")
    torch.testing.assert_close(mel.mel_filters(), theirs.T, rtol=0, atol=2e-7)


def test_a_click_is_loudest_in_the_frame_that_holds_its_sample():
    for frame in (3, 50, 96):
        click = torch.zeros(24_000)
        click[240 * frame + 120] = 1
        loudness = mel.log_mel(click).sum(0)
        assert int(loudness.argmax()) == frame
        torch.testing.assert_close(loudness[frame - 1], loudness[frame + 1])


def test_a_wave_that_mirrors_at_both_ends_sounds_the_same_in_every_frame():
    spectrum = mel.log_mel(torch.cos(2 * pi * 1_000 * torch.arange(2_401, dtype=torch.float64) / 24_000).float())
    assert (spectrum - spectrum[:, 5:6])[spectrum > -6].abs().max() < 1e-3


def test_a_tone_lights_the_bin_around_its_frequency():
    centres = mel.mel_filters().argmax(1) * 24_000 / 1024
    for hertz in (200, 1_000, 4_000):
        loudest = mel.log_mel(tone(hertz)).mean(1).argmax()
        assert abs(centres[loudest] - hertz) < 0.03 * hertz + 24


def test_twice_the_sound_is_log_2_more():
    waveform = tone(1_000) * 0.1
    louder = mel.log_mel(2 * waveform) - mel.log_mel(waveform)
    spectrum = mel.log_mel(waveform)
    assert (louder[spectrum > -4] - torch.tensor(2.0).log()).abs().max() < 1e-3


def test_silence_is_the_floor():
    torch.testing.assert_close(mel.log_mel(torch.zeros(2_400)), torch.full((80, 10), 1e-5).log())


def test_clips_are_transformed_apart():
    waveforms = noise(2, 1, 2_400)
    torch.testing.assert_close(mel.log_mel(waveforms)[1, 0], mel.log_mel(waveforms[1, 0]))


def test_half_precision_sound_is_transformed_in_float32():
    waveform = noise(2_400).half()
    assert torch.equal(mel.log_mel(waveform), mel.log_mel(waveform.float()))


def test_normalising_can_be_undone():
    log_mel = noise(80, 5) - 5
    torch.testing.assert_close(mel.denormalize_mel(mel.normalize_mel(log_mel)), log_mel)


def test_each_clip_is_rescaled_to_the_peak_and_silence_is_kept():
    waveform = torch.stack([noise(100), noise(100) * 7, torch.zeros(100)])
    rescaled = mel.rescale_volume(waveform)
    torch.testing.assert_close(rescaled.abs().amax(1), torch.tensor([0.999146, 0.999146, 0]))
    torch.testing.assert_close(rescaled[0], rescaled[1])


def test_faint_sound_is_rescaled_and_what_counts_as_silence_is_not():
    """The release raises the last bits of a silent recording to full scale."""
    assert mel.rescale_volume(torch.tensor([1.1e-4, 0])).tolist() == pytest.approx([0.999146, 0])
    assert mel.rescale_volume(torch.tensor([9e-5, 0])).tolist() == pytest.approx([9e-5, 0])
    assert mel.gain_to_peak(1e-30) == mel.gain_to_peak(0.0) == 1.0


@pytest.mark.parametrize("function", [mel.log_mel, mel.rescale_volume])
@pytest.mark.parametrize(
    ("waveform", "message"),
    [
        (torch.zeros(2, 0), "empty"),
        (torch.zeros(0, 500), "empty"),
        (torch.tensor(1.0), "empty"),
        (torch.full((500,), float("nan")), "not finite"),
        (torch.full((500,), float("-inf")), "not finite"),
        (torch.zeros(500, dtype=torch.int16), "torch.int16"),
    ],
)
def test_what_is_not_sound_is_refused(function, waveform, message):
    with pytest.raises(ValueError, match=message):
        function(waveform)


def test_sound_too_short_for_a_frame_is_refused():
    with pytest.raises(ValueError, match="392 samples"):
        mel.log_mel(torch.zeros(392))
