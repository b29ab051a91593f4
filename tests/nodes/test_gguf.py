"""GGUF files in ComfyUI: the weights a file stands for are the weights the network runs on."""

from dataclasses import replace

import folder_paths
import numpy as np
import pytest
import torch

from tests.parity.fixtures import relative_error
from tests.toys import TINY
from uniavgen_core.checkpoint.checked_files import CheckpointError
from uniavgen_core.checkpoint.describe import inspect, verify
from uniavgen_core.checkpoint.gguf_file import GgufFile
from uniavgen_core.checkpoint.load_weights import save_weights
from uniavgen_core.checkpoint.quantization_error import velocity_error
from uniavgen_core.checkpoint.quantize_weights import MIXES, QuantizeConfig, quantize
from uniavgen_core.config import BranchConfig
from uniavgen_core.model.initialize import initialize
from uniavgen_core.model.joint import Conditions, JointModel

CONFIG = replace(TINY, video=BranchConfig(256, 512, 2), audio=BranchConfig(256, 512, 2), num_layers=3)
CONFIG = replace(CONFIG, text=replace(CONFIG.text, vocabulary=2546))
TEXT = "hello"


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    torch.manual_seed(0)
    model = JointModel(CONFIG)
    initialize(model)
    with torch.no_grad():
        for value in model.parameters():
            if not value.any():
                value.copy_(0.05 * torch.randn(value.shape))
    path = tmp_path_factory.mktemp("gguf") / "plain.safetensors"
    save_weights(model.state_dict(), model.config, path, torch.float32)
    return path


@pytest.fixture(scope="module", params=MIXES)
def packed(request, plain):
    path = plain.with_name(f"{request.param}.gguf")
    quantize(plain, path, QuantizeConfig(request.param))
    return path


def inputs():
    generator = torch.Generator().manual_seed(1)
    draw = lambda *shape: torch.randn(shape, generator=generator)  # noqa: E731
    side = 4 * CONFIG.patch_size
    video = draw(1, CONFIG.latent_channels, 3, side, side)
    return video, draw(1, 40, CONFIG.mel_bins), draw(1, 8, CONFIG.text.caption_dim)


def velocities_of_the_host(pack, path, **options):
    patcher = pack.nodes.host.model.load_model.load_uniavgen(str(path), options)
    video, audio, caption = inputs()
    host = pack.nodes.host.conditioning.pass_settings
    times = (torch.full((1, 3), 700.0), torch.full((1, 40), 700.0))
    with torch.inference_mode():
        said = host.PassSettings((host.Speech(TEXT),))
        got = patcher.model.diffusion_model([video, audio[:, None]], times, caption, uniavgen=said)
    return patcher, got[0], got[1][:, 0]


def velocities_of_the_core(pack, file):
    model = JointModel(CONFIG)
    model.load_state_dict({name: value.float() for name, value in file.tensors()})
    video, audio, caption = inputs()
    fields = pack.nodes.host.conditioning.speech_fields.speech_fields(
        pack.nodes.host.conditioning.pass_settings.PassSettings(
            (pack.nodes.host.conditioning.pass_settings.Speech(TEXT),)
        ),
        CONFIG.text,
        0,
        1,
        video.device,
    )
    times = (torch.full((1, 3), 700.0), torch.full((1, 40), 700.0))
    with torch.inference_mode():
        output = model.eval()(video, audio, times, Conditions(caption, **fields))
    return output.video, output.audio


def test_the_network_runs_on_the_weights_that_the_file_stands_for_and_keeps_them_packed(pack, packed):
    file = GgufFile(packed)
    patcher, video, audio = velocities_of_the_host(pack, packed, dtype=torch.float32)
    want = velocities_of_the_core(pack, file)
    assert relative_error(video, want[0]) < 1e-5
    assert relative_error(audio, want[1]) < 1e-5
    weights = dict(patcher.model.diffusion_model.named_parameters())
    for name in file.kinds:
        assert weights[name]._qdata.dtype is torch.uint8, name
    assert patcher.model_size() < 1.1 * packed.stat().st_size


def test_interactions_modulation_embeddings_and_heads_stay_as_they_are(packed):
    file = GgufFile(packed)
    kept = [name for name in file.shapes if name not in file.kinds]
    assert {"patch_embedding.weight", "head.head.weight", "a2v_blocks.0.q.weight", "blocks.0.modulation"} <= set(kept)
    assert all(name.startswith(("blocks.", "audio_blocks.", "text_embedding")) for name in file.kinds)
    assert file.metadata == GgufFile(packed).metadata
    size = CONFIG.patch_size
    assert file.shapes["patch_embedding.weight"] == (256, CONFIG.latent_channels, 1, size, size)


def test_a_description_counts_every_weight_once_by_block_format(plain, packed):
    report, original, file = inspect(packed), inspect(plain), GgufFile(packed)
    assert (report["contents"], report["kind"]) == ("joint", "one file, quantized")
    assert report["geometry"] == original["geometry"]
    assert report["groups"] == original["groups"]
    assert report["quantised_layers"] == len(file.kinds)
    assert sum(report["dtypes"].values()) == report["parameters"] == original["parameters"]
    for kind in set(file.kinds.values()):
        weights = [torch.Size(file.shapes[name]).numel() for name, one in file.kinds.items() if one is kind]
        assert report["dtypes"][kind.name] == sum(weights)


def test_a_good_file_has_no_problem_and_a_broken_scale_is_found(packed, tmp_path):
    progress = []
    report = verify(packed, on_bytes=lambda done, total: progress.append(done / total))
    assert report["problems"] == []
    assert report["tensors"] == len(GgufFile(packed).shapes)
    assert progress[-1] == 1.0
    file = GgufFile(packed)
    name, kind = next(iter(file.kinds.items()))
    data, stored = bytearray(packed.read_bytes()), file.stored(name).numpy()
    block = stored.shape[1] * (32 if kind.name == "Q8_0" else 256) // file.shapes[name][1]
    place = data.find(stored.tobytes()) + (block - 2 if kind.name == "Q6_K" else 0)
    data[place : place + 2] = np.float16(np.nan).tobytes()
    broken = tmp_path / packed.name
    broken.write_bytes(data)
    (problem,) = verify(broken)["problems"]
    assert problem.startswith(f"{name} in {packed.name} holds")


def test_coarser_mixes_are_smaller_and_err_more(plain):
    sizes, errors = [], []
    for mix in MIXES:
        path = plain.with_name(f"again-{mix}.gguf")
        sizes.append(quantize(plain, path, QuantizeConfig(mix))["bytes"])
        errors.append(velocity_error(plain, path)["video"])
    assert sizes == sorted(sizes, reverse=True)
    assert errors == sorted(errors)
    assert errors[0] < 0.02 < errors[-1] < 0.2


def test_a_lora_on_packed_layers_does_what_it_does_on_the_weights_they_stand_for(pack, packed):
    file = GgufFile(packed)
    patcher, video, _ = velocities_of_the_host(pack, packed, dtype=torch.float32)
    name = next(iter(file.kinds))
    change = 0.05 * torch.randn(file.shapes[name], generator=torch.Generator().manual_seed(3))
    patched = patcher.clone()
    assert patched.add_patches({f"diffusion_model.{name}": ("diff", (change,))}) == [f"diffusion_model.{name}"]
    patched.patch_model()
    weight = dict(patched.model.diffusion_model.named_parameters())[name]
    torch.testing.assert_close(weight.float().detach(), file.tensor(name) + change, atol=1e-5, rtol=1e-4)
    patched.unpatch_model()
    again = dict(patcher.model.diffusion_model.named_parameters())[name]
    torch.testing.assert_close(again.dequantize(), file.tensor(name), atol=1e-6, rtol=1e-6)
    del video


def test_the_loader_offers_gguf_files_and_loads_them(pack, packed, monkeypatch):
    known = dict(folder_paths.folder_names_and_paths)
    known["diffusion_models"] = ([str(packed.parent)], folder_paths.supported_pt_extensions)
    monkeypatch.setattr(folder_paths, "folder_names_and_paths", known)
    monkeypatch.setattr(folder_paths, "filename_list_cache", {})
    assert packed.name in pack.nodes.host.model.model_choices.model_choices("diffusion_models", gguf=True)
    assert packed.name not in pack.nodes.host.model.model_choices.model_choices("diffusion_models")
    assert pack.nodes.loaders.LoadModel.execute(packed.name).args[0].model.diffusion_model.config.video.dim == 256


def test_damaged_and_unknown_files_are_refused_by_name(pack, plain, packed, tmp_path):
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(packed.read_bytes()[:5000])
    with pytest.raises(ValueError, match=r"cut\.gguf cannot be read as GGUF"):
        pack.nodes.host.model.load_model.load_uniavgen(str(cut))
    with pytest.raises(CheckpointError, match=r"must end in \.gguf"):
        quantize(plain, tmp_path / "x.safetensors", QuantizeConfig("Q4_K_M"))
    with pytest.raises(ValueError, match=r"kind is Q2_K; it must be one of .*Q8_0"):
        QuantizeConfig("Q2_K")
