"""A Wan2.2-TI2V-5B file as a MODEL of 'UniAVGen Load Model' gives what ComfyUI's own loader gives, in stock graphs."""

from dataclasses import replace

import comfy.context_windows as context_windows
import comfy.sample
import comfy.sd
import folder_paths
import gguf
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.nodes.pack_config import config_of_pack
from tests.parity.fixtures import seeded_tensor
from tests.shards import write_shards
from uniavgen_core.checkpoint.config_from_weights import Contents, Network, metadata_of
from uniavgen_core.checkpoint.gguf_file import GgufFile
from uniavgen_core.checkpoint.load_weights import expected_shapes
from uniavgen_core.checkpoint.merge_and_cut import cut
from uniavgen_core.checkpoint.quantize_weights import QuantizeConfig, quantize
from uniavgen_core.config import RELEASED, BranchConfig, GuidanceConfig

CONFIG = replace(RELEASED, video=BranchConfig(256, 512, 2), num_layers=4, num_interactions=0)
"""Wan2.2-TI2V-5B at a twelfth of its width, with its heads of 128, captions, channels and patches."""
FLOAT32 = {"dtype": torch.float32}
CASES = [
    pytest.param((3, 8, 12), "euler", False, id="text to video"),
    pytest.param((3, 8, 12), "uni_pc", True, id="first latent kept"),
    pytest.param((1, 6, 4), "euler", False, id="one picture"),
    pytest.param((2, 5, 7), "euler", True, id="sides that the patches do not fit"),
]


pytestmark = pytest.mark.usefixtures("as_comfyui_runs_nodes")


@pytest.fixture(scope="module")
def wan_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("wan") / "wan2.2_ti2v_small.safetensors"
    shapes = expected_shapes(Network(Contents.VIDEO, CONFIG))
    save_file({name: seeded_tensor(name, shape, torch.float32) for name, shape in shapes.items()}, path)
    return path


@pytest.fixture(scope="module")
def ours(pack):
    return lambda path: pack.nodes.host.model.load_model.load_uniavgen(str(path), dict(FLOAT32))


@pytest.fixture(scope="module")
def stock(comfyui):  # noqa: ARG001 - so that a missing ComfyUI is a clear failure
    return lambda path: comfy.sd.load_diffusion_model(str(path), dict(FLOAT32))


def draw(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def texts():
    """Positive and negative CONDITIONING as the stock text encoder gives them: zeros up to 512 tokens."""
    captions = torch.zeros(2, 1, 512, 4096)
    captions[0, :, :9], captions[1, :, :1] = draw(1, 9, 4096, seed=1), draw(1, 1, 4096, seed=2)
    return tuple([[caption, {}]] for caption in captions)


def latent_of(size, kept):
    """LATENT and noise mask as 'Wan22ImageToVideoLatent' gives them."""
    if not kept:
        return torch.zeros(1, 48, *size), None
    raw, mask = draw(1, 48, *size, seed=3), torch.ones(1, 1, *size)
    mask[:, :, 0] = 0
    return raw * (1 - mask), mask


def sample(model, latent, mask, sampler="euler", cfg=4.0):
    """What 'KSampler' does."""
    noise = comfy.sample.prepare_noise(latent, 5)
    return comfy.sample.sample(
        model, noise, 3, cfg, sampler, "simple", *texts(), latent, noise_mask=mask, disable_pbar=True, seed=5
    )


def assert_same(got, want):
    assert want.std() > 0.1
    assert (got - want).norm() / want.norm() < 1e-5
    assert (got - want).abs().max() / want.abs().max() < 1e-5


@pytest.mark.parametrize(("size", "sampler", "kept"), CASES)
def test_ksampler_gives_what_it_gives_with_the_stock_loader(ours, stock, wan_file, size, sampler, kept):
    latent, mask = latent_of(size, kept)
    want = sample(stock(wan_file), latent, mask, sampler)
    assert_same(sample(ours(wan_file), latent, mask, sampler), want)


def test_a_latent_kept_in_part_and_half_has_the_time_that_comfyui_gives_it(ours, stock, wan_file):
    latent, mask = latent_of((3, 8, 12), True)
    mask[:, :, 1, :3], mask[:, :, 2] = 0.0, 0.5
    assert_same(sample(ours(wan_file), latent, mask), sample(stock(wan_file), latent, mask))


def test_one_call_of_the_model_gives_what_the_stock_model_gives(ours, stock, wan_file):
    x, (positive, _) = draw(2, 48, 2, 4, 6), texts()
    inputs = {"c_crossattn": positive[0][0].expand(2, -1, -1), "transformer_options": {}}
    models = (ours(wan_file).model, stock(wan_file).model)
    assert_same(*(model.apply_model(x, torch.tensor([0.9, 0.3]), **inputs) for model in models))


def test_a_lora_of_wan_has_the_effect_it_has_with_the_stock_loader(ours, stock, wan_file):
    lora = {}
    for layer, width in (("blocks.1.ffn.0", (256, 512)), ("text_embedding.0", (4096, 256)), ("head.head", (256, 192))):
        lora[f"diffusion_model.{layer}.lora_A.weight"] = 0.3 * draw(4, width[0])
        lora[f"diffusion_model.{layer}.lora_B.weight"] = 0.3 * draw(width[1], 4)
    latent, mask = latent_of((2, 4, 6), False)
    results = []
    for model in (ours(wan_file), stock(wan_file)):
        patched, _ = comfy.sd.load_lora_for_models(model, None, lora, 0.7, 0)
        assert len(patched.patches) == 3
        results.append(sample(patched, latent, mask))
    assert_same(*results)
    assert (results[0] - sample(ours(wan_file), latent, mask)).abs().max() > 0.01


def test_a_patch_of_a_layer_has_the_effect_it_has_with_the_stock_loader(ours, stock, wan_file):
    latent, mask = latent_of((2, 4, 6), False)

    def patch(args, extra):
        assert args["transformer_options"]["block_index"] == 2
        after = extra["original_block"]({**args, "txt": 2 * args["txt"]})["img"]
        return {"img": 0.5 * args["img"] + 0.5 * after}

    results = []
    for model in (ours(wan_file), stock(wan_file)):
        model.set_model_patch_replace(patch, "dit", "double_block", 2)
        results.append(sample(model, latent, mask))
    assert_same(*results)
    assert (results[0] - sample(ours(wan_file), latent, mask)).abs().max() > 0.01


def test_our_guidance_over_the_whole_run_by_text_is_the_samplers_cfg(pack, ours, wan_file):
    latent, mask = latent_of((2, 4, 6), True)
    config = GuidanceConfig(video_scale=4.0, audio_scale=9.0, modality_aware_share=0.0, skip_layer=None)
    patch = pack.nodes.host.sampling.guided_sampling.patch_guidance
    guided = patch(ours(wan_file), config_of_pack(pack, config))
    assert_same(sample(guided, latent, mask, cfg=1.0), sample(ours(wan_file), latent, mask, cfg=4.0))


def test_scaled_fp8_gives_what_the_stock_loader_makes_of_it(ours, stock, wan_file, tmp_path):
    path = tmp_path / "wan_fp8_scaled.safetensors"
    layers = quantize(wan_file, path)["layers"]
    latent, mask = latent_of((2, 4, 6), True)
    model = ours(path)
    assert model.model.diffusion_model.state_dict()[f"{next(iter(layers))}.weight"].dtype == torch.float8_e4m3fn
    assert_same(sample(model, latent, mask), sample(stock(path), latent, mask))


@pytest.mark.parametrize("mix", ["Q8_0", "Q4_K_M"])
def test_a_gguf_file_gives_what_the_stock_loader_makes_of_the_unpacked_one(ours, stock, wan_file, tmp_path, mix):
    path = tmp_path / f"wan_{mix}.gguf"
    quantize(wan_file, path, QuantizeConfig(mix))
    unpacked = tmp_path / "unpacked.safetensors"
    save_file({name: tensor.float().contiguous() for name, tensor in GgufFile(path).tensors()}, unpacked)
    latent, mask = latent_of((2, 4, 6), True)
    assert_same(sample(ours(path), latent, mask), sample(stock(unpacked), latent, mask))


def test_a_gguf_file_of_other_makers_gives_what_the_stock_loader_makes_of_the_unpacked_one(
    ours, stock, wan_file, tmp_path
):
    """Packed by the package ``gguf``: matrices of blocks, the rest in half precision, patches in their five axes."""
    path, unpacked = tmp_path / "Wan2.2-TI2V-5B-Q8_0.gguf", {}
    writer = gguf.GGUFWriter(path, "wan")
    for name, tensor in load_file(wan_file).items():
        if tensor.ndim == 2 and name.startswith("blocks."):
            kind = gguf.GGMLQuantizationType.Q8_0
            data = gguf.quants.quantize(tensor.numpy(), kind)
            unpacked[name] = torch.from_numpy(gguf.quants.dequantize(data, kind))
            writer.add_tensor(name, data, raw_dtype=kind)
        else:
            unpacked[name] = tensor.half() if tensor.ndim > 1 else tensor
            writer.add_tensor(name, unpacked[name].numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    save_file({name: tensor.float() for name, tensor in unpacked.items()}, tmp_path / "unpacked.safetensors")
    latent, mask = latent_of((2, 4, 6), True)
    assert_same(sample(ours(path), latent, mask), sample(stock(tmp_path / "unpacked.safetensors"), latent, mask))


def test_wans_own_folder_of_shards_is_offered_and_is_the_single_file(pack, wan_file, tmp_path, monkeypatch):
    write_shards(tmp_path / "Wan2.2-TI2V-5B", load_file(wan_file), {})
    known = dict(folder_paths.folder_names_and_paths)
    known["diffusion_models"] = ([str(tmp_path)], folder_paths.supported_pt_extensions)
    monkeypatch.setattr(folder_paths, "folder_names_and_paths", known)
    monkeypatch.setattr(folder_paths, "filename_list_cache", {})
    (name,) = [
        one for one in pack.nodes.host.model.model_choices.model_choices("diffusion_models") if one.endswith("(folder)")
    ]
    got = pack.nodes.loaders.LoadModel.execute(name).args[0].model.diffusion_model.state_dict()
    want = load_file(wan_file)
    assert got.keys() == want.keys()
    assert all(torch.equal(got[name], want[name]) for name in want)


def test_context_windows_have_the_effect_they_have_with_the_stock_loader(ours, stock, wan_file):
    latent, mask = latent_of((6, 4, 6), True)
    results = []
    for model in (ours(wan_file), stock(wan_file)):
        model.model_options["context_handler"] = context_windows.IndexListContextHandler(
            context_windows.get_matching_context_schedule("standard_static"),
            context_windows.get_matching_fuse_method("pyramid"),
            context_length=4,
            context_overlap=2,
            dim=2,
        )
        context_windows.create_prepare_sampling_wrapper(model)
        results.append(sample(model, latent, mask))
    assert_same(*results)
    assert (results[0] - sample(ours(wan_file), latent, mask)).abs().max() > 0.01


def test_comfyuis_own_loader_takes_a_branch_that_was_cut_out(ours, stock, tmp_path):
    config = replace(CONFIG, audio=BranchConfig(128, 128, 1), num_layers=2, num_interactions=1)
    shapes = expected_shapes(Network(Contents.JOINT, config))
    tensors = {name: seeded_tensor(name, shape, torch.float32) for name, shape in shapes.items()}
    save_file(tensors, tmp_path / "joint.safetensors", metadata_of(config))
    cut(tmp_path / "joint.safetensors", tmp_path / "video.safetensors", Contents.VIDEO)
    latent, mask = latent_of((2, 4, 6), True)
    models = (load(tmp_path / "video.safetensors") for load in (ours, stock))
    assert_same(*(sample(model, latent, mask) for model in models))


def test_only_a_file_that_says_it_is_uniavgens_knows_a_reference_image(pack, ours, wan_file, tmp_path):
    path = tmp_path / "cut.safetensors"
    save_file(load_file(wan_file), path, metadata_of(CONFIG))
    key = pack.nodes.host.conditioning.pass_settings.REFERENCE_IMAGE_KEY
    x, (positive, _) = draw(1, 48, 2, 4, 6), texts()
    for file, is_known in ((wan_file, False), (path, True)):
        model = ours(file).model
        plain, told = (
            model.extra_conds(cross_attn=positive[0][0], **{key: image}) for image in (None, draw(1, 48, 1, 4, 6))
        )
        assert "reference_image" not in plain
        references = (None, told["reference_image"].cond if "reference_image" in told else None)
        velocities = [
            model.diffusion_model(x, torch.full((1, 2), 500.0), positive[0][0], reference_image=reference)
            for reference in references
        ]
        assert torch.equal(*velocities) is not is_known


def test_a_picture_alone_is_given_the_memory_that_it_takes_in_a_joint_latent(pack, ours, wan_file):
    model, joint = ours(wan_file).model, pack.nodes.host.model.joint_model.UniAVGenConfig
    packed = torch.Size((48, 21, 46, 80)).numel()
    assert model.memory_required([2, 48, 21, 46, 80]) == model.memory_required([2, 1, packed])
    assert model.memory_usage_factor == joint.memory_usage_factor
