"""Codecs and the caption encoder as the objects ComfyUI's own nodes take."""

import math

import comfy.latent_formats
import comfy.model_management
import comfy.sd
import comfy.utils
import pytest
import torch

from uniavgen_core.bundled.bundled_files import BUNDLED_VIDEO_CODEC
from uniavgen_core.bundled.hashed_captions import hashed_features
from uniavgen_core.media.audio.mel import log_mel

pytestmark = pytest.mark.usefixtures("as_comfyui_runs_nodes")


@pytest.fixture(scope="module")
def audio_vae(pack):
    return pack.nodes.host.media.vaes.AudioVAE()


@pytest.fixture(scope="module")
def video_vae(pack):
    return pack.nodes.host.media.video_vae_files.load_video_vae(str(BUNDLED_VIDEO_CODEC))


@pytest.fixture(scope="module")
def portrait(pack):
    (image,) = pack.nodes.toon_examples.ToonPortrait.execute("toon_5_happy").args
    return image


def tone(seconds, hertz=220.0, sample_rate=24000):
    time = torch.arange(round(seconds * sample_rate)) / sample_rate
    return sum(math.exp(-k) * torch.sin(2 * math.pi * hertz * k * time) for k in range(1, 9))


def test_a_cancelled_run_stops_while_the_picture_is_decoded(video_vae):
    latents, shown = torch.zeros(2, 48, 17, 2, 2), []
    comfy.utils.set_progress_bar_global_hook(lambda value, total, *_, **__: shown.append((value, total)))
    try:
        assert len(video_vae.decode(latents)) == 2
        comfy.model_management.interrupt_current_processing()
        with pytest.raises(comfy.model_management.InterruptProcessingException):
            video_vae.decode(latents)
    finally:
        comfy.utils.set_progress_bar_global_hook(None)
        comfy.model_management.interrupt_current_processing(False)
    assert shown[0] == (1, 4)
    assert shown[-1] == (4, 4)


def test_sound_survives_the_audio_codec(audio_vae):
    sound = tone(1.0)[None, :, None]
    latent = audio_vae.encode(sound)
    assert latent.shape == (1, 1, 100, 80)
    again = audio_vae.decode(latent)[..., 0]
    assert again.shape == (1, 24000)
    before, after = log_mel(sound[..., 0] / sound.abs().max() * 0.999146), log_mel(again)
    off = (after - before)[before > 0]
    assert (off - off.median()).abs().mean() < 0.3  # but for the one gain that keeps it under the ceiling


def test_both_stereo_channels_are_heard(audio_vae):
    left, right = tone(0.5, 200.0), tone(0.5, 330.0)
    both = audio_vae.encode(torch.stack((left, right), dim=-1)[None])
    one = audio_vae.encode(left[None, :, None])
    assert (both - one).abs().mean() > 0.1


def test_a_mel_that_is_not_finite_is_refused_with_advice(audio_vae):
    with pytest.raises(ValueError, match=r"not finite.*bf16"):
        audio_vae.decode(torch.full((1, 1, 20, 80), torch.nan))


def test_tiled_decoding_of_sound_is_the_same_as_whole(audio_vae):
    latent = torch.randn(1, 1, 40, 80, generator=torch.Generator().manual_seed(0)) - 1
    tiled = audio_vae.decode_tiled(latent, tile_x=512, tile_y=512, overlap=64)
    assert torch.equal(tiled, audio_vae.decode(latent))


def test_a_portrait_survives_the_video_codec(video_vae, portrait):
    latent = video_vae.encode(portrait)
    assert latent.shape == (1, 48, 1, 8, 8)
    again = video_vae.decode(latent)[0]
    error = (again - portrait).square().mean()
    assert 10 * torch.log10(1 / error) > 25


def test_tiled_decoding_shows_the_picture_that_whole_decoding_does(video_vae, portrait):
    latent = video_vae.encode(portrait).repeat(1, 1, 3, 2, 2)
    tiled, whole = video_vae.decode_tiled(latent, tile_x=8, tile_y=8, overlap=4), video_vae.decode(latent)
    assert tiled.shape == whole.shape == (1, 9, 256, 256, 3)
    assert (tiled - whole).square().mean().sqrt() < 0.02


@pytest.fixture
def free_bytes(pack, video_vae, monkeypatch):
    """Sets how much memory is said to be free; gives the notices."""
    notices = []
    monkeypatch.setattr(pack.nodes.host.media.vaes, "announce", notices.append)

    def say(size):
        monkeypatch.setattr(video_vae.patcher, "get_free_memory", lambda _: size)
        return notices

    return say


def test_what_does_not_fit_is_decoded_in_the_largest_tiles_that_do_and_looks_the_same(
    video_vae, portrait, free_bytes, monkeypatch
):
    latent = video_vae.encode(portrait).repeat(1, 1, 2, 3, 5)  # 24 rows, 40 columns
    needed = video_vae.memory_used_decode(latent.shape, torch.float32)
    assert free_bytes(needed) == []
    whole = video_vae.decode(latent)
    tiles = []
    decode_tiled = comfy.sd.VAE.decode_tiled
    monkeypatch.setattr(
        comfy.sd.VAE, "decode_tiled", lambda *args, **kwargs: tiles.append(kwargs) or decode_tiled(*args, **kwargs)
    )
    assert free_bytes(needed - 1) == []
    tiled = video_vae.decode(latent)
    assert tiles == [{"tile_x": 32, "tile_y": 32, "overlap": 8}]
    assert free_bytes(0) == [
        "There is not enough free memory to decode whole frames, so they are decoded in tiles of 512x512."
    ]
    assert tiled.shape == whole.shape
    assert 10 * torch.log10(1 / (tiled - whole).square().mean()) > 30
    assert video_vae.tile_for(latent.shape) == 16
    assert video_vae.tile_for(latent[..., :8, :8].shape) is None, "nothing is smaller than the smallest tile"


def weightless(codec_class):
    """A codec whose network is never called."""
    codec = object.__new__(codec_class)
    codec.first_stage_model = torch.nn.ModuleDict({"decoder": torch.nn.Identity()})
    return codec


def test_wan_latents_that_do_not_fit_are_made_raw_once(pack, monkeypatch):
    codec_class, wan = pack.nodes.host.media.vaes.NormalizedVideoVAE, comfy.latent_formats.Wan22()
    monkeypatch.setattr(codec_class, "tile_for", lambda *_: 16)
    monkeypatch.setattr(comfy.sd.VAE, "decode_tiled", lambda _, latent, **__: latent)
    latent = torch.randn(1, 48, 2, 2, 2, generator=torch.Generator().manual_seed(0))
    assert torch.equal(weightless(codec_class).decode(latent), wan.process_out(latent))


def test_wan_latents_are_normalised_on_the_outside(pack, monkeypatch):
    wan = comfy.latent_formats.Wan22()
    raw = torch.randn(1, 48, 2, 2, 2, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(comfy.sd.VAE, "encode", lambda *_: raw)
    monkeypatch.setattr(comfy.sd.VAE, "decode", lambda _, latent, *__: latent)
    monkeypatch.setattr(pack.nodes.host.media.vaes.NormalizedVideoVAE, "tile_for", lambda *_: None)
    codec = weightless(pack.nodes.host.media.vaes.NormalizedVideoVAE)
    normalised = codec.encode(None)
    assert torch.allclose(normalised, wan.process_in(raw))
    assert not torch.allclose(normalised, raw)
    assert torch.allclose(codec.decode(normalised), raw, atol=1e-5)


def test_the_bundled_clip_gives_the_captions_features(pack):
    clip = pack.nodes.host.conditioning.bundled_text_encoder.bundled_clip()
    ((features, _),) = clip.encode_from_tokens_scheduled(clip.tokenize("A happy toon nods."))
    assert torch.equal(features[0], hashed_features("A happy toon nods."))
