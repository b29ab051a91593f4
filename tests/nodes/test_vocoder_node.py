"""The release's vocoder folder, written by ``transformers`` with seeded weights, through the nodes.

Reduced in width only: the layers, their names, kernels, dilations and rates are the released ones.
"""

import json
import shutil
from pathlib import Path

import comfy.model_management
import folder_paths
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Qwen2_5OmniToken2WavBigVGANModel as Network

from tests.nodes.graphs import Graph
from tests.nodes.studio import notices_of
from tests.nodes.vocoders import audio_codec_of, latent_of, memory_asked, options_of
from tools.comfy_client import PromptRejectedError
from uniavgen_core.media.audio.bigvgan import receptive_radius
from uniavgen_core.media.audio.loudness import CEILING, under_ceiling
from uniavgen_core.media.audio.mel import denormalize_mel

NAME = "code2wav_bigvgan_model"
SOURCE = "huggingface.co/MCG-NJU/UniAVGen"
RELEASED = json.loads("""{
  "architectures": ["Qwen2_5OmniToken2WavBigVGANModel"], "model_type": "qwen2_5_omni_bigvgan", "mel_dim": 80,
  "resblock_dilation_sizes": [[1, 3, 5], [1, 3, 5], [1, 3, 5]], "resblock_kernel_sizes": [3, 7, 11],
  "torch_dtype": "bfloat16", "transformers_version": "4.52.0", "upsample_initial_channel": 1536,
  "upsample_kernel_sizes": [11, 7, 4, 4, 4, 4], "upsample_rates": [5, 3, 2, 2, 2, 2]
}""")


def network_of(**changes):
    """A network with seeded weights that keep a signal's level, so that it is loud, but not cut off."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Network(Network.config_class(**{"upsample_initial_channel": 64, **changes})).eval()
        for parameter in network.parameters():
            if parameter.ndim == 3:
                torch.nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
            else:
                torch.nn.init.normal_(parameter, std=0.1)
        network.conv_post.weight.data.mul_(0.03)
    return network.requires_grad_(False)


@pytest.fixture(scope="module")
def network():
    return network_of()


@pytest.fixture(scope="module")
def saved(network, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / NAME
    network.save_pretrained(folder)
    return folder


@pytest.fixture
def folder(vocoders, saved):
    return Path(shutil.copytree(saved, vocoders / NAME))


def codec_of(node, name=NAME):
    return audio_codec_of(node, name)


def test_the_decode_node_sounds_as_transformers_does(pack, load, folder, network):  # noqa: ARG001
    codec, audio = codec_of(load), latent_of(106)
    video_vae = pack.nodes.loaders.LoadVideoVAE.execute(pack.nodes.host.model.model_choices.BUNDLED).args[0]
    latent = pack.nodes.empty_latent.EmptyLatent.execute(64, 64, 1.0625, 1).args[0]
    video, _ = latent["samples"].unbind()
    joint = {"samples": type(latent["samples"])((video, audio))}
    with torch.inference_mode():
        _, (sound,), _ = pack.nodes.decode.Decode.execute(joint, video_vae, codec).args
        wanted = under_ceiling(network(denormalize_mel(audio[:, 0]).transpose(1, 2))[None, None])[0, 0]
    assert sound["sample_rate"] == 24_000
    assert sound["waveform"].shape == (1, 1, 106 * 240)
    assert wanted.std() > 0.02
    torch.testing.assert_close(sound["waveform"][0, 0], wanted, rtol=0, atol=1e-4)


def test_a_clip_of_the_release_has_121440_samples_all_of_them_sound(load, folder):  # noqa: ARG001
    with torch.inference_mode():
        sound = codec_of(load).decode(latent_of(506))
    assert sound.shape == (1, 121_440, 1)
    assert sound.unflatten(1, (506, 240)).std(2).min() > 1e-3


def test_chunks_sound_as_one_pass_does(load, folder, network):  # noqa: ARG001
    codec, audio = codec_of(load), latent_of(700)
    codec.first_stage_model.chunk_frames = 90
    with torch.inference_mode():
        found = codec.synthesize(audio)[0, 0]
        whole = network(denormalize_mel(audio[0]).transpose(1, 2))
    assert (found - whole).abs().max() < 1e-4


def test_too_small_a_margin_would_be_heard(load, folder, network):  # noqa: ARG001
    codec, audio = codec_of(load), latent_of(300)
    codec.first_stage_model.chunk_frames, codec.first_stage_model.margin = 90, 2
    with torch.inference_mode():
        found = codec.synthesize(audio)[0, 0]
        whole = network(denormalize_mel(audio[0]).transpose(1, 2))
    assert (found - whole).abs().max() > 1e-3


def test_a_loud_voice_is_not_cut_off_as_by_transformers_itself(load, folder):
    path = folder / "model.safetensors"
    tensors = load_file(path)
    save_file({**tensors, "conv_post.weight": 50 * tensors["conv_post.weight"]}, path)
    with torch.inference_mode():
        codec, latent = codec_of(load), latent_of(20)
        raw, sound = codec.synthesize(latent), codec.decode(latent)
    assert raw.abs().max() > 2
    assert sound.abs().max() == pytest.approx(CEILING)
    torch.testing.assert_close(sound.movedim(-1, 1), raw * (sound.abs().max() / raw.abs().max()))


@pytest.mark.parametrize(
    "layers",
    [
        {},
        {
            "upsample_rates": [8, 5, 6],
            "upsample_kernel_sizes": [16, 11, 12],
            "resblock_kernel_sizes": [3, 5],
            "resblock_dilation_sizes": [[1, 2, 3], [1, 1, 2]],
        },
    ],
)
def test_a_sample_hears_no_frame_beyond_the_margin_and_nearly_all_within(layers):
    network = network_of(**layers).double()
    margin = receptive_radius(network.config)
    heard, middle = set(), margin + 5
    for offset in (0, 119, 239):
        mel = torch.randn(1, 80, 2 * middle + 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 4
        mel.requires_grad_()
        (slope,) = torch.autograd.grad(network(mel)[middle * 240 + offset], mel)
        heard |= {int(frame) - middle for frame in slope[0].abs().sum(0).nonzero()}
    assert -margin <= min(heard) <= -margin + 4
    assert margin - 4 <= max(heard) <= margin


def test_the_released_size_loads_strictly_and_decodes(load, vocoders):
    network_of(upsample_initial_channel=1536).save_pretrained(vocoders / NAME)
    (vocoders / NAME / "config.json").write_text(json.dumps(RELEASED))
    codec = codec_of(load)
    assert sum(weight.numel() for weight in codec.first_stage_model.parameters()) == 115_443_504
    with torch.inference_mode():
        sound = codec.decode(latent_of(4))
    assert sound.shape == (1, 960, 1)
    assert sound.std() > 0.005


def test_weights_in_half_precision_are_used_in_float32_with_exact_filters(load, folder, network):
    path = folder / "model.safetensors"
    save_file({name: tensor.bfloat16() for name, tensor in load_file(path).items()}, path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "dtype": "bfloat16"}))
    found = codec_of(load).first_stage_model.network
    assert {tensor.dtype for tensor in [*found.parameters(), *found.buffers()]} == {torch.float32}
    for mine, theirs in zip(found.buffers(), network.buffers(), strict=True):
        assert torch.equal(mine, theirs)


def test_shards_load_as_one_file_does(load, folder, network):
    shutil.rmtree(folder)
    network.save_pretrained(folder, max_shard_size="200KB")
    assert len(list(folder.glob("*.safetensors"))) > 1
    found = codec_of(load).first_stage_model.network.state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in network.state_dict().items())


def test_loading_draws_no_global_random_numbers_and_opens_no_connection(load, folder, monkeypatch):  # noqa: ARG001
    import socket

    def refuse(*_, **__):
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    state = torch.get_rng_state()
    codec_of(load)
    assert torch.equal(torch.get_rng_state(), state)


def test_convolutions_keep_all_bits_of_float32(load, folder):  # noqa: ARG001
    codec, allowed = codec_of(load), []
    network = codec.first_stage_model.network
    network.conv_pre.register_forward_hook(lambda *_: allowed.append(torch.backends.cudnn.allow_tf32))
    before = torch.backends.cudnn.allow_tf32
    with torch.inference_mode():
        codec.decode(latent_of(4))
    assert allowed == [False]
    assert torch.backends.cudnn.allow_tf32 is before


def test_a_full_load_takes_the_filters_along(load, folder):  # noqa: ARG001
    codec = codec_of(load)
    codec.patcher.partially_load(torch.device("meta"), 1e32)
    network = codec.first_stage_model.network
    assert all(tensor.is_meta for tensor in [*network.parameters(), *network.buffers()])


def test_memory_asked_for_is_whole_and_does_not_grow_with_the_clip(load, folder, monkeypatch):  # noqa: ARG001
    codec = codec_of(load)
    codec.first_stage_model.chunk_frames = 30
    asked = memory_asked(codec, monkeypatch, (10, 200, 400))
    (short, _), (long, _), (longer, _) = asked
    assert short < long == longer
    assert all(full for _, full in asked)


def test_codecs_are_told_apart_by_what_makes_their_sound(pack, load, folder):
    first, same = codec_of(load).identity, codec_of(load).identity
    (folder / "model.safetensors").touch()
    assert first == same
    assert len({first, codec_of(load).identity, codec_of(load, pack.nodes.loaders.GRIFFIN_LIM).identity}) == 3


def test_comfyui_loads_and_unloads_the_weights(load, folder):  # noqa: ARG001
    codec = codec_of(load)
    with torch.inference_mode():
        codec.decode(latent_of(4))
    assert any(loaded.model is codec.patcher for loaded in comfy.model_management.current_loaded_models)
    comfy.model_management.unload_all_models()
    assert not any(loaded.model is codec.patcher for loaded in comfy.model_management.current_loaded_models)
    with torch.inference_mode():
        assert codec.decode(latent_of(4)).abs().max() > 0


def test_an_interruption_stops_between_chunks(load, folder):  # noqa: ARG001
    codec = codec_of(load)
    comfy.model_management.interrupt_current_processing()
    try:
        with torch.inference_mode(), pytest.raises(comfy.model_management.InterruptProcessingException):
            codec.decode(latent_of(4))
    finally:
        comfy.model_management.interrupt_current_processing(False)


def test_griffin_lim_comes_first_and_needs_no_weights(pack, load, vocoders):  # noqa: ARG001
    assert options_of(load) == [pack.nodes.loaders.GRIFFIN_LIM, NAME]
    codec = codec_of(load, pack.nodes.loaders.GRIFFIN_LIM)
    assert not list(codec.first_stage_model.parameters())


def test_folders_are_listed_where_users_put_them(load, vocoders, saved, tmp_path):
    shutil.copytree(saved, vocoders / "mine" / "better voice")
    released = Path(folder_paths.get_folder_paths("diffusion_models")[0]) / "UniAVGen" / NAME
    shutil.copytree(saved, released)
    shutil.copytree(saved, tmp_path / "shared" / "third")
    paths = folder_paths.folder_names_and_paths["vocoders"][0]
    paths.append(str(tmp_path / "shared"))  # what extra_model_paths.yaml does
    try:
        assert options_of(load)[1:] == [f"UniAVGen/{NAME}", "mine/better voice", "third"]
        for name in (*options_of(load)[1:], NAME):  # the last as in a workflow made with another layout
            assert load.validate_inputs(name) is True
            assert codec_of(load, name).first_stage_model.margin == 38
    finally:
        paths.remove(str(tmp_path / "shared"))


def test_a_folder_of_models_may_go_while_comfyui_runs(load, vocoders, saved, tmp_path):  # noqa: ARG001
    shutil.copytree(saved, tmp_path / "shared" / "third")
    paths = folder_paths.folder_names_and_paths["vocoders"][0]
    paths.append(str(tmp_path / "shared"))
    try:
        assert "third" in options_of(load)
        shutil.rmtree(tmp_path / "shared")
        assert options_of(load)[1:] == [NAME]
    finally:
        paths.remove(str(tmp_path / "shared"))


def test_a_missing_folder_says_where_from_and_where_to(load, vocoders):
    message = load.validate_inputs(NAME)
    for part in (f"no vocoder folder '{NAME}'", SOURCE, str(vocoders / NAME), "Griffin-Lim"):
        assert part in message
    with pytest.raises(ValueError, match="no vocoder folder"):
        codec_of(load)


def test_a_real_server_refuses_a_missing_folder_and_uses_it_once_it_is_there(server, saved):
    graph = Graph().set("UniAVGenLoadAudioVAE", vocoder=NAME)
    with pytest.raises(PromptRejectedError, match=SOURCE):
        server.run(graph.nodes)
    folder = server.folder / "models" / "vocoders" / NAME
    shutil.copytree(saved, folder)
    try:
        assert server.run(graph.nodes).files
    finally:
        shutil.rmtree(folder)
    assert "Requested to load BigVGAN" in server.log


def cut_short(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1_000])


def without_a_tensor(folder):
    tensors = load_file(folder / "model.safetensors")
    del tensors["conv_pre.bias"]
    save_file(tensors, folder / "model.safetensors")


def with_a_hole(folder):
    tensors = load_file(folder / "model.safetensors")
    tensors["conv_pre.bias"][0] = float("nan")
    save_file(tensors, folder / "model.safetensors")


def configured(**changes):
    def change(folder):
        values = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**values, **changes}))

    return change


def of_another_kind(folder):
    without_a_tensor(folder)
    configured(model_type="vocos")(folder)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / "config.json").unlink(), "has no config.json"),
        (lambda folder: (folder / "model.safetensors").unlink(), "has no model.safetensors and no pytorch_model.bin"),
        (lambda folder: (folder / "config.json").write_text("version https://git-lfs"), "is not JSON"),
        (lambda folder: (folder / "config.json").write_text("[]"), "is not a JSON object"),
        (lambda folder: of_another_kind(folder), "1 missing: conv_pre.bias.*is of a model of type 'vocos'"),
        (configured(mel_dim=100), "of 100 bins"),
        (configured(upsample_rates=[4, 4, 2, 2, 2, 2]), "256 samples"),
        (configured(upsample_rates="fast"), "no vocoder that can be built"),
        (configured(upsample_initial_channel=128), "is damaged.*conv_pre.weight is"),
        (cut_short, "is damaged.*model.safetensors"),
        (without_a_tensor, "is damaged.*1 missing: conv_pre.bias"),
        (with_a_hole, "conv_pre.bias holds values that are not finite"),
    ],
)
def test_a_damaged_folder_says_what_is_wrong_and_what_to_do(load, folder, damage, said):
    damage(folder)
    with pytest.raises(ValueError, match=said) as raised:
        codec_of(load)
    assert SOURCE in str(raised.value)
    assert str(folder) in str(raised.value)


def pickled(folder):
    """The weights as a .bin, with tensors of a whole token2wav and without the filters, which are constants."""
    path = folder / "model.safetensors"
    stored = {name: tensor for name, tensor in load_file(path).items() if "filter" not in name}
    torch.save({**stored, "code2wav_dit_model.extra": torch.zeros(2)}, folder / "pytorch_model.bin")
    path.unlink()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (pickled, "holds a tensor that the network does not have. It is ignored: code2wav_dit_model.extra."),
        (configured(model_type="qwen2_5_omni"), "gives the type 'qwen2_5_omni', not 'qwen2_5_omni_bigvgan'"),
        (configured(surprise=3), ""),
    ],
)
def test_what_is_unexpected_and_harmless_is_a_notice_and_sounds_the_same(load, folder, change, said):
    latent = latent_of(12)
    with torch.inference_mode():
        want = codec_of(load).decode(latent)
        change(folder)
        folder_paths.filename_list_cache.clear()
        result = load.execute(NAME)
        assert torch.equal(result.args[0].decode(latent), want)
    notice = notices_of(result)
    assert said in notice if said else notice == ""


def test_an_old_transformers_says_how_to_update(load, folder, monkeypatch):  # noqa: ARG001
    import transformers

    monkeypatch.delattr(transformers, "Qwen2_5OmniToken2WavBigVGANModel")
    monkeypatch.setattr(transformers, "__version__", "4.50.3")
    monkeypatch.setattr(type(transformers), "__getattr__", lambda _, name: (_ for _ in ()).throw(AttributeError(name)))
    with pytest.raises(ImportError, match=r"4\.50\.3 has no BigVGAN vocoder.*pip install --upgrade transformers"):
        codec_of(load)
