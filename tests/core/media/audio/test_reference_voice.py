"""The reference voice: what is accepted as speech, how it is trimmed, and the mel it becomes."""

from math import pi

import pytest
import torch

from toon.clips.speech import VOICES, make_speech
from uniavgen_core.media.audio.mel import log_mel, normalize_mel, rescale_volume
from uniavgen_core.media.audio.reference_voice import prepare_reference_voice, reference_mel
from uniavgen_core.media.audio.sound import Sound, at_rate, to_model_sound

SECONDS = torch.arange(72_000, dtype=torch.float64) / 24_000


def speech(seed=0, video_frames=33, voice=None):
    return torch.from_numpy(make_speech(seed, video_frames, voice=voice).waveform)


def noise(samples, seed=0):
    return torch.randn(samples, generator=torch.Generator().manual_seed(seed))


def tone(hertz):
    return torch.sin(2 * pi * hertz * SECONDS)


def prepare(waveform, sample_rate=24_000):
    return prepare_reference_voice(Sound(waveform.float().reshape(-1, waveform.shape[-1]), sample_rate))


@pytest.mark.parametrize("voice", range(len(VOICES)))
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_toon_is_accepted_as_a_speaker(seed, voice):
    waveform = speech(seed, voice=voice)
    found = prepare(waveform)
    assert torch.equal(found.waveform, rescale_volume(waveform))
    assert found.notices == ()


@pytest.mark.parametrize("seed", range(4))
def test_speech_is_accepted_faint_noisy_offset_and_short(seed):
    waveform = speech(seed)
    noisy = waveform + 10**-0.5 * waveform.square().mean().sqrt() * noise(len(waveform), seed)
    for changed in (waveform / 5_000, noisy / noisy.abs().max(), waveform / 4 + 0.5, waveform[:24_000]):
        assert torch.equal(prepare(changed).waveform, rescale_volume(changed))


@pytest.mark.parametrize("seed", range(4))
def test_a_telephone_voice_is_accepted_with_a_notice(seed):
    sound = at_rate(Sound(speech(seed)[None] / 2, 24_000), 8_000)
    found = prepare_reference_voice(sound)
    assert torch.equal(found.waveform, rescale_volume(to_model_sound(sound)))
    assert ["4 kHz" in notice for notice in found.notices] == [True]


def organ():
    hertz = torch.tensor([262.0, 330, 392, 523, 392, 330]).repeat_interleave(12_000).double()
    phase = 2 * pi * torch.cumsum(hertz, 0) / 24_000
    return sum(torch.sin(harmonic * phase) for harmonic in range(1, 8))


def rustle():
    """Noise that swells and turns from dull to bright and back, four times a second."""
    hiss, rumble = noise(72_000).diff(append=torch.zeros(1)), noise(72_000).unfold(0, 5, 1).mean(1)
    return hiss * (1 + tone(4)) ** 2 + torch.cat([rumble, torch.zeros(4)]) * (1 - tone(4)) ** 2 / 5


SPEECHLESS = {
    "a rustle": rustle(),
    "an organ that grows slowly": organ() * (0.1 + SECONDS / 3),
    "white noise": noise(72_000),
    "brown noise": torch.cumsum(noise(72_000), 0) / 1_000,
    "noise that swells": noise(72_000) * (1 + tone(4)),
    "a tone": tone(440),
    "a tone that swells": tone(300) * (1 + tone(4)),
    "a tone that fades in": tone(200) * SECONDS / 3,
    "a tone that rises": torch.sin(2 * pi * (200 * SECONDS + 200 * SECONDS.square())),
    "a hum": sum(tone(50 * harmonic) / harmonic for harmonic in range(1, 8)),
    "a hum in noise": tone(100) + 0.3 * noise(72_000),
    "clicks": (torch.arange(72_000) % 6_000 == 0).double(),
}


@pytest.mark.parametrize("name", SPEECHLESS)
@pytest.mark.parametrize("level", [0.001, 0.2])
def test_what_is_not_speech_is_refused(name, level):
    with pytest.raises(
        ValueError, match=r"No speech was found in the first 3\.0 s .* Give a recording of someone speaking"
    ):
        prepare(level * SPEECHLESS[name] / SPEECHLESS[name].abs().max())


@pytest.mark.parametrize("offset", [0.0, 0.3])
def test_silence_is_refused_as_such(offset):
    with pytest.raises(ValueError, match="reference voice is silent"):
        prepare(torch.full((48_000,), offset))


def test_a_voice_on_one_side_is_heard_and_the_sides_are_mixed():
    left, right = speech(0), speech(1)
    silent_left = prepare(torch.stack([torch.zeros(len(right)), right]))
    torch.testing.assert_close(silent_left.waveform, rescale_volume(right))
    both = prepare(torch.stack([left, right]))
    torch.testing.assert_close(both.waveform, rescale_volume((left + right) / 2))


def test_less_than_a_second_is_refused_and_a_second_is_not():
    waveform = speech()[2_000:]
    assert len(prepare(waveform[:24_000]).waveform) == 24_000
    with pytest.raises(ValueError, match=r"1\.00 s long; it must be 1 to 10 s"):
        prepare(waveform[:23_990])


def test_ten_seconds_are_used_whole():
    waveform = torch.cat([speech(seed) for seed in range(5)])[:240_000]
    waveform = torch.cat([waveform, waveform[: 240_000 - len(waveform)]])
    found = prepare(waveform)
    assert torch.equal(found.waveform, rescale_volume(waveform))
    assert found.notices == ()


@pytest.mark.parametrize("sample_rate", [24_000, 44_100])
@pytest.mark.parametrize("pause", [8.3, 9.5])
def test_a_longer_voice_ends_in_the_pause_before_ten_seconds_with_a_notice(pause, sample_rate):
    talk = torch.cat([speech(seed) for seed in range(12)])
    waveform = talk + 0.05 * noise(len(talk))
    for place in (7.5, pause, 10.05):
        waveform[round(place * 24_000) : round((place + 0.1) * 24_000)] = 0
    given = at_rate(Sound(waveform[None].repeat(2, 1), 24_000), sample_rate)
    found = prepare_reference_voice(given)
    assert pause < len(found.waveform) / 24_000 < pause + 0.1
    assert f"24.8 s long; its first {len(found.waveform) / 24_000:.2f} s are used" in found.notices[-1]
    if sample_rate == 24_000:
        assert torch.equal(found.waveform, rescale_volume(waveform[: len(found.waveform)]))


def test_speech_after_ten_seconds_of_silence_does_not_count():
    with pytest.raises(ValueError, match="reference voice is silent"):
        prepare(torch.cat([torch.zeros(240_000), speech()]))


def test_the_mel_is_that_of_the_voice_with_silence_after_it():
    waveform = rescale_volume(speech())
    found = reference_mel(waveform)
    assert torch.equal(found, normalize_mel(log_mel(torch.cat([waveform, torch.zeros(7_200)]))).T)
    assert len(found) == len(waveform) // 240 + 30
