"""The vocoder, judged by the sound it makes: its mel, its pitch, its place in time, its edges."""

from math import pi

import pytest
import torch
import torchaudio

from uniavgen_core.media.audio.griffin_lim import GriffinLim
from uniavgen_core.media.audio.mel import log_mel, mel_filters, rescale_volume

ROUNDS = 60


@pytest.fixture(scope="module")
def vowels():
    """A second of a buzzing voice with moving pitch and formants, breath and a pause, peak 0.999146, (1, N)."""
    seconds = torch.arange(24_000, dtype=torch.float64) / 24_000
    pitch = 120 + 30 * torch.sin(2 * pi * 1.5 * seconds)
    phase = 2 * pi * torch.cumsum(pitch / 24_000, 0)
    sound = torch.zeros_like(seconds)
    for harmonic in range(1, 60):
        hertz = harmonic * pitch
        formants = (500 + 200 * torch.sin(2 * pi * seconds), 1_500 + 400 * torch.cos(5 * seconds), 2_600)
        level = sum(1 / (1 + ((hertz - formant) / 120) ** 2) for formant in formants)
        sound += level * torch.sin(harmonic * phase)
    breath = torch.randn(24_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    pause = torch.sigmoid(200 * (seconds - 0.6)) * torch.sigmoid(200 * (0.75 - seconds))
    sound = sound * (1 - pause) + 0.01 * breath
    return rescale_volume(sound.float()[None])


@pytest.fixture(scope="module")
def spoken(vowels):
    return GriffinLim(iterations=ROUNDS).decode(log_mel(vowels))


def test_the_sound_has_the_mel_it_was_made_from(vowels, spoken):
    assert (log_mel(spoken) - log_mel(vowels)).abs().mean() < 0.05


def test_it_is_closer_to_the_mel_than_torchaudio(vowels, spoken):
    wanted = log_mel(vowels)
    magnitudes = torch.linalg.lstsq(mel_filters()[None], wanted.exp(), driver="gelsd").solution.relu()
    theirs = torchaudio.transforms.GriffinLim(1024, ROUNDS, hop_length=240, power=1.0, rand_init=False)(magnitudes)
    error = (log_mel(torch.nn.functional.pad(theirs, (120, 120))) - wanted).abs().mean()
    assert (log_mel(spoken) - wanted).abs().mean() < error / 2


def test_the_first_and_last_frames_are_as_good_as_the_others(vowels, spoken):
    error = (log_mel(spoken) - log_mel(vowels)).abs().mean((0, 1))
    assert error[:3].mean() < 0.1
    assert error[-3:].mean() < 0.1


def test_the_edges_do_not_click(vowels, spoken):
    steps, allowed = spoken.diff().abs()[0], vowels.diff().abs().max()
    assert steps[:240].max() < 1.5 * allowed
    assert steps[-240:].max() < 1.5 * allowed


@pytest.mark.parametrize("mel_frames", [2, 3, 11, 50])
def test_a_mel_frame_becomes_240_samples_as_loud_as_it_says(mel_frames):
    sound = torch.randn(2, mel_frames * 240, generator=torch.Generator().manual_seed(0)) * torch.tensor([[0.1], [0.01]])
    found = GriffinLim(iterations=20).decode(log_mel(sound))
    assert found.shape == sound.shape
    torch.testing.assert_close(found.std(1), sound.std(1), rtol=0.5, atol=0)


def test_a_tone_keeps_its_pitch_and_level():
    tone = 0.5 * torch.sin(2 * pi * 440 * torch.arange(12_000) / 24_000)[None]
    found = GriffinLim(iterations=30).decode(log_mel(tone))
    assert abs(int(torch.fft.rfft(found[0]).abs().argmax()) - 220) <= 1
    assert abs(float(found.square().mean() / tone.square().mean()) - 1) < 0.2


def test_a_burst_stays_where_it_was():
    sound = torch.zeros(1, 9_600)
    sound[:, 4_800:5_040] = torch.randn(240, generator=torch.Generator().manual_seed(0)) * 0.2
    energy = GriffinLim(iterations=30).decode(log_mel(sound))[0].square()
    centre = float((energy * torch.arange(9_600)).sum() / energy.sum())
    assert abs(centre - 4_920) < 60


def test_silence_is_silent():
    assert GriffinLim(iterations=30).decode(log_mel(torch.zeros(1, 4_800))).abs().max() == 0


def test_the_same_mel_gives_the_same_sound_and_no_global_random_numbers_are_drawn(vowels):
    vocoder, mel = GriffinLim(iterations=8), log_mel(vowels)
    state = torch.get_rng_state()
    first = vocoder.decode(mel)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(5)
    assert torch.equal(vocoder.decode(mel), first)


def test_clips_are_decoded_apart(vowels):
    mel = log_mel(vowels)[..., :40]
    together = GriffinLim(iterations=8).decode(torch.cat([mel.flip(-1), mel]))
    torch.testing.assert_close(together[1:], GriffinLim(iterations=8).decode(mel), rtol=0, atol=1e-3)


@pytest.mark.parametrize("level", [-1_000.0, 5.0, 1_000.0])
def test_absurd_levels_stay_finite(level):
    found = GriffinLim(iterations=10).decode(torch.full((1, 80, 10), level))
    assert torch.isfinite(found).all()


@pytest.mark.parametrize("shape", [(80, 20), (1, 64, 20), (1, 20, 80), (1, 80, 1), (0, 80, 20)])
def test_what_is_not_a_mel_is_refused(shape):
    with pytest.raises(ValueError, match="cannot be decoded"):
        GriffinLim().decode(torch.zeros(shape))


def test_values_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="finite"):
        GriffinLim().decode(torch.full((1, 80, 20), float("nan")))
