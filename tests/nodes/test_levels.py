"""Levels of sound on the way in and out, through the nodes: nothing is cut off, nothing reaches the model too quiet."""

from math import log

import pytest
import torch

from tests.nodes.studio import notices_of, video_of
from uniavgen_core.media.audio.loudness import CEILING
from uniavgen_core.media.audio.mel import log_mel, normalize_mel, rescale_volume

SOUND = "match_audio"


@pytest.fixture(scope="module")
def speech(studio):
    """The loudest voice among the bundled clips, 24 kHz."""
    return studio.example("toon_3")[1]


@pytest.fixture(scope="module")
def latent(studio, speech):
    """A joint latent with that voice's sound; Griffin-Lim peaks at twice full scale."""
    joint = studio.nodes.empty_latent.EmptyLatent.execute(64, 64, 2.0625).args[0]
    video, audio = joint["samples"].unbind()
    mel = normalize_mel(log_mel(rescale_volume(speech["waveform"][0, 0, : 240 * audio.shape[2]])))
    return {"samples": type(joint["samples"])((video, mel.T[None, None].contiguous()))}


@pytest.fixture(scope="module")
def decoded(studio, latent):
    return studio.decode(latent)[1]["waveform"]


def stock_decode(studio, latent):
    from comfy_extras.nodes_audio import VAEDecodeAudio

    return VAEDecodeAudio.execute(studio.audio_vae, latent).args[0]["waveform"]


def test_decoded_sound_is_not_cut_off_and_has_the_mel_it_was_made_from(latent, decoded):
    assert decoded.abs().max() == pytest.approx(CEILING)
    assert (decoded.abs() > 0.99 * CEILING).sum() < 10  # a flat top would have hundreds
    wanted = latent["samples"].unbind()[1][0, 0].T
    error = (normalize_mel(log_mel(decoded[0, 0])) - wanted) * 2.1544
    level = error[wanted > -1].median()
    assert -log(3) < level < 0
    assert (error - level)[wanted > -1].abs().mean() < 0.055


def test_comfyuis_own_decoder_gives_the_same_sound(studio, latent, decoded):
    with torch.inference_mode():
        found = stock_decode(studio, latent)
    torch.testing.assert_close(found / found.abs().max(), decoded / decoded.abs().max())
    assert found.abs().max() <= CEILING


def test_our_own_sound_is_a_reference_voice_without_complaint(studio, decoded):
    voice = {"waveform": decoded, "sample_rate": 24_000}
    output = studio.task("reference_voice", seconds=1.0625, voice=voice, voice_transcript="hello nice fish")
    assert notices_of(output) == ""


def test_the_models_copy_of_a_sound_is_not_cut_off(studio, latent, speech):
    given = studio.task("audio_driven", audio=speech, length=SOUND, seconds=2.0).args[3]
    _, audio, _ = studio.decode(latent, given, vocoded=True)
    assert audio["waveform"].abs().max() == pytest.approx(CEILING)


def test_dubbed_sound_is_not_cut_off(studio, latent, decoded):
    video = video_of(torch.rand(33, 64, 64, 3), 16)
    given = studio.task("dubbing", video=video).args[3]
    audio = studio.decode(latent, given)[1]["waveform"]
    torch.testing.assert_close(audio[..., : decoded.shape[-1]], decoded)


def kept_mel(output):
    return output.args[2]["samples"].unbind()[1][0, 0]


@pytest.mark.parametrize("decibels", [0, -20, -40, -70])
@pytest.mark.parametrize("use", ["task", "keep"])
def test_a_sound_reaches_the_model_the_same_however_quiet_it_is(studio, speech, decibels, use):
    def mel_at(gain):
        sound = {**speech, "waveform": gain * speech["waveform"][..., :24_000]}
        if use == "task":
            return kept_mel(studio.task("audio_driven", audio=sound, length=SOUND, seconds=1.0))
        latent = studio.nodes.empty_latent.EmptyLatent.execute(64, 64, 1.0625).args[0]
        execute = studio.nodes.keep.Keep.execute
        return kept_mel(execute(*studio.texts(), latent, studio.video_vae, "", "all", audio=sound))

    loud = speech["waveform"][..., :24_000].abs().max()
    torch.testing.assert_close(mel_at(10 ** (decibels / 20) / loud), mel_at(1.0), rtol=0, atol=1e-3)


def test_what_counts_as_silence_is_not_raised(studio, speech):
    faint = {**speech, "waveform": 9e-5 * speech["waveform"] / speech["waveform"].abs().max()}
    output = studio.task("audio_driven", audio=faint, length=SOUND, seconds=1.0)
    assert output.args[3].gain == 1
    assert "is silent" in notices_of(output)


def hiss(level):
    return {"waveform": level * torch.randn(1, 1, 48_000, generator=torch.Generator().manual_seed(0)) / 4.5}


@pytest.mark.parametrize(
    ("level", "said"),
    [(0.5, ""), (0.01, "no speech could be detected in it: its loudest"), (0.001, "is nearly silent")],
)
def test_a_near_silence_and_a_faint_noise_are_told(studio, level, said):
    sound = {**hiss(level), "sample_rate": 24_000}
    notices = notices_of(studio.task("audio_driven", audio=sound, length=SOUND, seconds=1.0))
    assert said in notices
    assert bool(notices) is bool(said)


def test_quiet_speech_is_told_only_near_silence(studio, speech):
    for level, is_told in ((0.01, False), (0.002, True)):
        quiet = {**speech, "waveform": level * speech["waveform"]}
        notices = notices_of(studio.task("audio_driven", audio=quiet, length=SOUND, seconds=1.0))
        assert ("nearly silent" in notices) is is_told
