"""A Vocos folder of the user's own, with seeded weights, through the nodes."""

import shutil

import comfy.model_management
import comfy.utils
import pytest
import torch
from comfy.k_diffusion.utils import tf32_mode
from safetensors.torch import load_file, save_file

from benchmarks.peak import peak_of
from tests.nodes.graphs import Graph
from tests.nodes.vocoders import audio_codec_of, latent_of, memory_asked, options_of
from tests.vocos_folders import BACKBONES, built, configure, weights_of, write_vocos
from uniavgen_core.media.audio.loudness import under_ceiling
from uniavgen_core.media.audio.mel import denormalize_mel

NAME = "my vocos"
RELEASED = "code2wav_bigvgan_model"


@pytest.fixture
def folder(vocoders):
    return write_vocos(vocoders / NAME)


def wanted_of(latent, kind="convnext"):
    """What the package's own layers make of a latent of one track, under the ceiling, (N,)."""
    backbone, head = built(kind)
    return under_ceiling(head(backbone(denormalize_mel(latent[:, 0]).transpose(1, 2)))[None])[0, 0]


def test_the_decode_node_sounds_as_the_package_does(pack, load, folder):  # noqa: ARG001
    codec, audio = audio_codec_of(load, NAME), latent_of(106)
    video_vae = pack.nodes.loaders.LoadVideoVAE.execute(pack.nodes.host.model.model_choices.BUNDLED).args[0]
    latent = pack.nodes.empty_latent.EmptyLatent.execute(64, 64, 1.0625, 1).args[0]
    video, _ = latent["samples"].unbind()
    joint = {"samples": type(latent["samples"])((video, audio))}
    with torch.inference_mode():
        _, (sound,), _ = pack.nodes.decode.Decode.execute(joint, video_vae, codec).args
        wanted = wanted_of(audio)
    assert sound["sample_rate"] == 24_000
    assert sound["waveform"].shape == (1, 1, 106 * 240)
    assert wanted.std() > 0.05
    torch.testing.assert_close(sound["waveform"][0, 0], wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", BACKBONES)
def test_chunks_sound_as_one_pass_does_and_each_moves_the_progress_bar(load, vocoders, kind, monkeypatch):
    write_vocos(vocoders / NAME, kind)
    codec, latent, ticks = audio_codec_of(load, NAME), latent_of(700), []
    codec.first_stage_model.chunk_frames = 90
    monkeypatch.setattr(comfy.utils.ProgressBar, "update", lambda bar, by: ticks.append((by, bar.total)))
    with torch.inference_mode():
        assert (codec.decode(latent)[0, :, 0] - wanted_of(latent, kind)).abs().max() < 1e-4
    assert ticks == [(1, 8)] * 8


def test_it_is_listed_beside_the_released_vocoder_by_any_of_its_files(load, folder, vocoders):
    write_vocos(vocoders / "voices" / "second")
    (folder / "config.yaml").unlink()
    (vocoders / "voices" / "second" / "pytorch_model.bin").unlink()
    assert options_of(load)[1:] == [RELEASED, NAME, "voices/second"]
    assert load.validate_inputs(NAME) is True
    assert load.validate_inputs("second") is True  # as in a workflow made with other folders
    assert "no vocoder folder 'third'" in load.validate_inputs("third")


def test_the_same_weights_as_safetensors_sound_the_same(load, folder):
    before = audio_codec_of(load, NAME)
    save_file({name: tensor.clone() for name, tensor in weights_of(*built()).items()}, folder / "model.safetensors")
    (folder / "pytorch_model.bin").unlink()
    after = audio_codec_of(load, NAME)
    assert "head.out.bias" in load_file(folder / "model.safetensors")
    with torch.inference_mode():
        assert torch.equal(before.decode(latent_of(20)), after.decode(latent_of(20)))
    assert before.identity != after.identity


def test_a_folder_with_a_bigvgans_config_too_is_still_a_vocos(load, folder):
    (folder / "config.json").write_text('{"model_type": "vocos"}')
    with torch.inference_mode():
        sound = audio_codec_of(load, NAME).decode(latent_of(20))[0, :, 0]
    assert (sound - wanted_of(latent_of(20))).abs().max() < 1e-6


def test_comfyui_loads_and_unloads_the_weights(load, folder):  # noqa: ARG001
    codec = audio_codec_of(load, NAME)
    with torch.inference_mode():
        first = codec.decode(latent_of(4))
    assert any(loaded.model is codec.patcher for loaded in comfy.model_management.current_loaded_models)
    comfy.model_management.unload_all_models()
    assert not any(loaded.model is codec.patcher for loaded in comfy.model_management.current_loaded_models)
    with torch.inference_mode():
        assert torch.equal(codec.decode(latent_of(4)), first)


@pytest.mark.parametrize("kind", BACKBONES)
def test_a_full_load_takes_every_weight_and_the_window_along(load, vocoders, kind):
    write_vocos(vocoders / NAME, kind)
    codec = audio_codec_of(load, NAME)
    codec.patcher.partially_load(torch.device("meta"), 1e32)
    assert all(tensor.is_meta for tensor in codec.first_stage_model.state_dict().values())


def test_matrix_products_keep_all_bits_of_float32(load, folder):  # noqa: ARG001
    codec, allowed = audio_codec_of(load, NAME), []
    backends = torch.backends
    codec.first_stage_model.network.head.out.register_forward_hook(
        lambda *_: allowed.append((backends.cudnn.allow_tf32, backends.cuda.matmul.allow_tf32))
    )
    with torch.inference_mode(), tf32_mode(cudnn=True, matmul=True):
        codec.decode(latent_of(4))
        assert backends.cuda.matmul.allow_tf32
    assert allowed == [(False, False)]


@pytest.mark.parametrize("kind", BACKBONES)
def test_memory_asked_for_is_enough_and_does_not_grow_with_the_clip(load, vocoders, kind, monkeypatch):
    write_vocos(vocoders / NAME, kind)
    codec = audio_codec_of(load, NAME)
    vocoder = codec.first_stage_model
    vocoder.chunk_frames = 100
    asked = memory_asked(codec, monkeypatch, (10, 400, 700))
    (short, _), (long, _), (longer, _) = asked
    assert short < long == longer
    assert all(full for _, full in asked)
    with torch.no_grad():
        counted = peak_of(lambda: vocoder(torch.zeros(1, 80, 100 + 2 * vocoder.margin)))
    assert counted < long < 5 * counted


def test_an_interruption_stops_between_chunks(load, folder):  # noqa: ARG001
    codec = audio_codec_of(load, NAME)
    comfy.model_management.interrupt_current_processing()
    try:
        with torch.inference_mode(), pytest.raises(comfy.model_management.InterruptProcessingException):
            codec.decode(latent_of(4))
    finally:
        comfy.model_management.interrupt_current_processing(False)


def test_codecs_are_told_apart_by_their_files(load, folder):
    first, same = audio_codec_of(load, NAME).identity, audio_codec_of(load, NAME).identity
    (folder / "pytorch_model.bin").touch()
    assert first == same != audio_codec_of(load, NAME).identity


def cut_short(folder):
    path = folder / "pytorch_model.bin"
    path.write_bytes(path.read_bytes()[:-1_000])


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / "config.yaml").unlink(), "has no config.yaml"),
        (lambda folder: (folder / "pytorch_model.bin").unlink(), "has no model.safetensors and no pytorch_model.bin"),
        (lambda folder: configure(folder, "backbone", input_channels=100), "of 100 bins"),
        (lambda folder: configure(folder, "head", padding="center"), "padding 'center'"),
        (cut_short, "is damaged.*pytorch_model.bin is truncated"),
    ],
)
def test_a_damaged_folder_says_what_is_wrong_and_what_to_do(load, folder, damage, said):
    damage(folder)
    with pytest.raises(ValueError, match=said) as raised:
        audio_codec_of(load, NAME)
    for part in (str(folder), "trained on UniAVGen's mel", "Griffin-Lim"):
        assert part in str(raised.value)
    assert "huggingface" not in str(raised.value)


def test_a_real_server_uses_it(server, tmp_path):
    folder = server.folder / "models" / "vocoders" / NAME
    shutil.copytree(write_vocos(tmp_path / NAME), folder)
    try:
        assert server.run(Graph().set("UniAVGenLoadAudioVAE", vocoder=NAME).nodes).files
    finally:
        shutil.rmtree(folder)
    assert "Requested to load Vocos" in server.log
