"""The model loader on what people have: the release's folder, a merged file, files quantised in ComfyUI's ways."""

import json
import weakref
from pathlib import Path

import comfy.quant_ops
import comfy.utils
import folder_paths
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.nodes.studio import notices_of
from tests.parity.fixtures import relative_error, speech
from tests.shards import shard_name, write_shards
from uniavgen_core.checkpoint.config_from_weights import metadata_of
from uniavgen_core.checkpoint.describe import inspect, verify
from uniavgen_core.checkpoint.merge_and_cut import merge
from uniavgen_core.checkpoint.quantization_error import velocity_error
from uniavgen_core.checkpoint.quantize_weights import QuantizeConfig, quantize
from uniavgen_core.model.joint import Conditions

LIMITS = {"float8_e4m3fn": 0.06, "float8_e5m2": 0.12}
"""Relative velocity error on the golden network; 0.04 and 0.08 are measured."""
HOST_LIMITS = {"int8_tensorwise": 0.02, "mxfp8": 0.06, "nvfp4": 0.2}
"""The same for what ComfyUI's own layers quantise; 0.013, 0.036 and 0.14 are measured."""
OWN_LIMITS = {"int8": 0.02, "nvfp4": 0.2}
"""The same for what the pack quantises, the audio branch in 8 bits."""
OFFERED = "UniAVGen/ (folder)"


@pytest.fixture(scope="module")
def weights(golden_runs):
    return {name: golden_runs.seeded(name, shape) for name, shape in golden_runs.shapes.items()}


@pytest.fixture
def models(weights, golden_runs, tmp_path, monkeypatch):
    """A ComfyUI folder of diffusion models with the release's folder in it."""
    write_shards(tmp_path / "UniAVGen", weights, metadata_of(golden_runs.config()))
    known = dict(folder_paths.folder_names_and_paths)
    known["diffusion_models"] = ([str(tmp_path)], folder_paths.supported_pt_extensions)
    monkeypatch.setattr(folder_paths, "folder_names_and_paths", known)
    monkeypatch.setattr(folder_paths, "filename_list_cache", {})
    return tmp_path


@pytest.fixture
def release(models):
    return models / "UniAVGen"


@pytest.fixture
def load(pack):
    return lambda path: pack.nodes.host.model.load_model.load_uniavgen(str(path))


@pytest.fixture
def choose(pack):
    """Load what the node is asked for by a name from its list."""
    return lambda name: pack.nodes.loaders.LoadModel.execute(name).args[0]


@pytest.fixture
def velocities(pack, golden_runs):
    """Video and audio velocity of a MODEL's network, for one golden task's first step."""
    run = golden_runs.info["float32"]["AVG"]
    inputs = {name: golden_runs.seeded(*spec) for name, spec in run["inputs"].items()}
    host = pack.nodes.host.conditioning.pass_settings
    said = host.PassSettings((host.Speech(golden_runs.info["meta"]["texts"]["main"]),))
    video, audio = inputs["noise_video"], inputs["noise_audio"]
    times = (torch.full((1, video.shape[2]), 900.0), torch.full((1, audio.shape[1]), 900.0))

    def run_pass(patcher):
        network = patcher.model.diffusion_model
        with torch.inference_mode():
            got = network(
                [video, audio[:, None]], times, inputs["caption"], uniavgen=said, reference_image=inputs["ref_image"]
            )
        return {"video": got[0], "audio": got[1][:, 0]}

    def of_the_core():
        cond = Conditions(inputs["caption"], speech(run["speech_text_ids"]), reference_image=inputs["ref_image"])
        with torch.inference_mode():
            output = golden_runs.model()(video, audio, times, cond)
        return {"video": output.video, "audio": output.audio}

    run_pass.of_the_core = of_the_core
    return run_pass


def errors(got, want):
    return {name: relative_error(got[name], want[name]) for name in want}


def test_folder_shard_and_merged_file_give_the_same_model_which_is_the_original(choose, models, velocities):
    merge(models / "UniAVGen", models / "merged.safetensors")
    want = velocities.of_the_core()
    passes = [velocities(choose(n)) for n in (OFFERED, f"UniAVGen/{shard_name(2)}", "merged.safetensors")]
    assert max(errors(passes[0], want).values()) < 1e-5
    for got in passes[1:]:
        assert all(torch.equal(got[name], passes[0][name]) for name in want)


def test_a_loaded_folder_holds_every_weight_of_every_shard(load, release, weights):
    got = load(release).model.diffusion_model.state_dict()
    assert got.keys() == weights.keys()
    assert all(torch.equal(got[name], tensor) for name, tensor in weights.items())


def test_the_loader_offers_folders_of_this_model_and_no_others(pack, models):
    write_shards(models / "sub" / "Wan", {f"blocks.{i}.ffn.0.weight": torch.zeros(2) for i in range(3)}, None)
    choices = pack.nodes.host.model.model_choices.model_choices("diffusion_models")
    assert [name for name in choices if name.endswith("(folder)")] == [OFFERED]
    assert str(Path("UniAVGen", shard_name(1))) in choices


def test_a_folder_is_offered_without_its_index_and_under_its_path(pack, choose, models):
    (models / "UniAVGen" / "diffusion_pytorch_model.safetensors.index.json").unlink()
    (models / "UniAVGen").rename(models / "moved")
    (models / "deep").mkdir()
    (models / "moved").rename(models / "deep" / "moved")
    folder_paths.filename_list_cache.clear()
    assert "deep/moved/ (folder)" in pack.nodes.host.model.model_choices.model_choices("diffusion_models")
    assert choose("deep/moved/ (folder)").model.diffusion_model.config.num_layers > 0


def test_a_folder_that_has_gone_is_named(choose, models):
    (models / "UniAVGen").rename(models / "elsewhere")
    folder_paths.filename_list_cache.clear()
    with pytest.raises(FileNotFoundError, match="The folder UniAVGen in diffusion_models"):
        choose(OFFERED)


def test_a_missing_shard_is_named_by_the_loader(choose, release):
    (release / shard_name(2)).unlink()
    with pytest.raises(ValueError, match=shard_name(2)):
        choose(OFFERED)


@pytest.mark.parametrize("part", [0.0, 0.0001, 0.5, 0.9999])
def test_a_shard_cut_short_is_named_by_the_loader(choose, release, part):
    content = (release / shard_name(2)).read_bytes()
    (release / shard_name(2)).write_bytes(content[: int(part * len(content))])
    with pytest.raises(ValueError, match=rf"{shard_name(2)} cannot be read.*half way"):
        choose(OFFERED)


def test_a_tensor_in_two_shards_is_refused(load, release, weights):
    shard = release / shard_name(1)
    save_file(load_file(shard) | {"head.head.bias": weights["head.head.bias"].clone()}, shard)
    with pytest.raises(ValueError, match=r"The tensor head\.head\.bias is in"):
        load(release)


def test_a_file_cut_short_is_found_before_comfyuis_reader_maps_it(load, release, monkeypatch):
    def careless(path, **_):
        raise AssertionError(f"{path} was mapped")

    monkeypatch.setattr(comfy.utils, "load_torch_file", careless)
    (release / shard_name(1)).write_bytes((release / shard_name(1)).read_bytes()[:-1])
    with pytest.raises(ValueError, match=f"{shard_name(1)} cannot be read"):
        load(release)


def test_a_foreign_folder_is_refused_as_another_model(load, models):
    folder = write_shards(models / "other", {f"blocks.{i}.ffn.0.weight": torch.zeros(2) for i in range(3)}, None)
    with pytest.raises(ValueError, match="not a UniAVGen checkpoint"):
        load(folder)


@pytest.mark.parametrize("kind", LIMITS)
def test_scaled_fp8_loads_as_fp8_and_stays_near_the_original(load, models, release, velocities, kind):
    layers = quantize(release, models / "fp8.safetensors", QuantizeConfig(kind))["layers"]
    patcher = load(models / "fp8.safetensors")
    stored = patcher.model.diffusion_model.state_dict()
    assert {stored[f"{layer}.weight"].dtype for layer in layers} == {getattr(torch, kind)}
    assert stored["a2v_blocks.0.q.weight"].dtype == torch.float32
    found = errors(velocities(patcher), velocities.of_the_core())
    assert max(found.values()) < LIMITS[kind]
    assert min(found.values()) > 1e-3


@pytest.mark.parametrize("kind", HOST_LIMITS)
def test_what_comfyui_quantises_in_other_ways_loads_and_is_described(
    load, models, release, velocities, golden_runs, weights, kind
):
    tensors, note = dict(weights), torch.tensor(list(json.dumps({"format": kind}).encode()), dtype=torch.uint8)
    for layer in quantize(release, models / "fp8.safetensors")["layers"]:
        layout = comfy.quant_ops.QUANT_ALGOS[kind]["comfy_tensor_layout"]
        packed = comfy.quant_ops.QuantizedTensor.from_float(tensors.pop(f"{layer}.weight"), layout)
        tensors |= packed.state_dict(f"{layer}.weight") | {f"{layer}.comfy_quant": note.clone()}
    path = models / f"{kind}.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, metadata_of(golden_runs.config()))
    assert max(errors(velocities(load(path)), velocities.of_the_core()).values()) < HOST_LIMITS[kind]
    assert verify(path)["problems"] == []
    assert inspect(path)["parameters"] == sum(tensor.numel() for tensor in weights.values())


@pytest.mark.parametrize("kind", OWN_LIMITS)
def test_int8_and_nvfp4_load_and_move_the_velocity_as_far_as_the_measurement_says(
    load, models, release, velocities, kind
):
    path = models / f"{kind}.safetensors"
    layers = quantize(release, path, QuantizeConfig(kind))["layers"]
    found, expected = errors(velocities(load(path)), velocities.of_the_core()), velocity_error(release, path)
    assert max(found.values()) < OWN_LIMITS[kind]
    assert max(expected.values()) < OWN_LIMITS[kind]
    stored = load_file(path)
    assert {stored[f"{layer}.weight"].dtype for layer in layers if layer.startswith("audio_")} == {torch.int8}
    assert verify(path)["problems"] == []


def test_fp8_with_every_layer_quantised_still_runs(load, models, release, velocities):
    quantize(release, models / "all.safetensors", QuantizeConfig(keep=("text_embedding.*",)))
    found = errors(velocities(load(models / "all.safetensors")), velocities.of_the_core())
    assert max(found.values()) < 0.2


def test_the_older_scaled_fp8_gives_what_the_newer_gives(load, models, release, velocities):
    layers = quantize(release, models / "fp8.safetensors")["layers"]
    old = load_file(models / "fp8.safetensors")
    for layer in layers:
        old[f"{layer}.scale_weight"] = old.pop(f"{layer}.weight_scale")
        del old[f"{layer}.comfy_quant"]
    old = {f"model.diffusion_model.{name}": tensor for name, tensor in old.items()}
    old["model.diffusion_model.scaled_fp8"] = torch.zeros(2, dtype=torch.float8_e4m3fn)
    newer = load(models / "fp8.safetensors")
    config = newer.model.diffusion_model.config
    save_file(old, models / "old.safetensors", metadata_of(config))
    got, want = velocities(load(models / "old.safetensors")), velocities(newer)
    assert max(errors(got, want).values()) < 1e-5  # to the last bits, in which weights tell where in memory they lie


def test_a_quantised_file_that_lacks_or_adds_a_tensor_is_refused(load, models, release, golden_runs):
    quantize(release, models / "fp8.safetensors")
    tensors = load_file(models / "fp8.safetensors")
    tensors["blocks.0.extra"] = tensors.pop("blocks.1.ffn.2.weight")
    save_file(tensors, models / "fp8.safetensors", metadata_of(golden_runs.config()))
    with pytest.raises(ValueError, match=r"1 missing: blocks\.1\.ffn\.2\.weight; 1 unexpected: blocks\.0\.extra"):
        load(models / "fp8.safetensors")


def rewritten(release, change):
    """Change the tensors of the release's first shard."""
    shard = release / shard_name(1)
    tensors = load_file(shard)
    change(tensors)
    save_file(tensors, shard)
    (release / "diffusion_pytorch_model.safetensors.index.json").unlink()


def test_extra_tensors_are_named_by_the_node_and_change_nothing(pack, release, velocities):
    want = velocities(pack.nodes.loaders.LoadModel.execute(OFFERED).args[0])
    extra = {f"ema.{number}": torch.zeros(2) for number in range(7)} | {"stranger.0.weight_scale": torch.ones(1)}
    rewritten(release, lambda tensors: tensors.update(extra))
    result = pack.nodes.loaders.LoadModel.execute(OFFERED)
    notice = notices_of(result)
    assert "UniAVGen holds 8 tensors that the network does not have" in notice
    assert "ema.0, ema.1, ema.2, ema.3, ema.4 and 3 more." in notice
    got = velocities(result.args[0])
    assert all(torch.equal(got[name], want[name]) for name in want)


def test_a_file_without_padding_for_batches_loads_with_a_notice(pack, release, weights):
    for number in (1, 2, 3):
        shard = release / shard_name(number)
        save_file({name: value for name, value in load_file(shard).items() if name != "audio_padding"}, shard)
    result = pack.nodes.loaders.LoadModel.execute(OFFERED)
    assert "UniAVGen has no audio_padding" in notices_of(result)
    network = result.args[0].model.diffusion_model
    assert torch.equal(network.audio_padding, torch.zeros_like(weights["audio_padding"]))


def test_a_file_that_fits_has_no_notice(pack, release):  # noqa: ARG001
    assert notices_of(pack.nodes.loaders.LoadModel.execute(OFFERED)) == ""


def test_the_bar_grows_with_what_is_loaded_to_the_whole(load, release, monkeypatch):
    seen = []

    class Bar:
        def __init__(self, total):
            self.total = total

        def update_absolute(self, value):
            seen.append((value, self.total))

    monkeypatch.setattr(comfy.utils, "ProgressBar", Bar)
    load(release)
    values = [value for value, _ in seen]
    assert values == sorted(values)
    assert len(set(values)) > 20
    assert values[-1] >= 0.99 * seen[-1][1]


def test_layers_are_loaded_in_the_files_order_and_let_go_one_by_one(pack):
    held = []

    class Layer(torch.nn.Linear):
        def load_state_dict(self, *args, **kwargs):
            held.append((self.number, sum(reference() is not None for reference in references)))
            return super().load_state_dict(*args, **kwargs)

    network = torch.nn.Module()
    network.blocks = torch.nn.ModuleList(Layer(3, 3) for _ in range(4))
    for number, layer in enumerate(network.blocks):
        layer.number = number
    network.padding = torch.nn.Parameter(torch.zeros(3))
    names = ["padding", *(f"blocks.{number}.{leaf}" for number in (2, 0, 3, 1) for leaf in ("weight", "bias"))]
    shapes = {name: tensor.shape for name, tensor in network.state_dict().items()}
    tensors = {name: torch.full(shapes[name], float(number)) for number, name in enumerate(names)}
    want = {name: tensor.clone() for name, tensor in tensors.items()}
    references = [weakref.ref(tensor) for tensor in tensors.values()]
    pack.nodes.host.model.fill_weights.fill_weights(network, tensors, assign=False)
    assert tensors == {}
    assert held == [(2, 8), (0, 6), (3, 4), (1, 2)], "what is in the network is held on to, or the order is another"
    assert all(torch.equal(tensor, want[name]) for name, tensor in network.state_dict().items())


def test_an_assigned_weight_is_the_files_own_memory(pack):
    network = torch.nn.Module()
    network.head, network.padding = torch.nn.Linear(2, 2), torch.nn.Parameter(torch.zeros(3))
    tensors = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
    pointers = {name: tensor.data_ptr() for name, tensor in tensors.items()}
    pack.nodes.host.model.fill_weights.fill_weights(network, tensors, assign=True)
    assert {name: tensor.data_ptr() for name, tensor in network.state_dict().items()} == pointers


def test_a_model_is_told_from_another_by_every_shard(pack, load, release):
    key_of, content = pack.nodes.host.content_keys.key_of, pack.nodes.host.model.model_content.model_content
    model = load(release)
    first = key_of(content(model))
    assert first == key_of(content(load(release / shard_name(1))))
    shard = release / shard_name(3)
    shard.write_bytes(shard.read_bytes() + b" ")
    assert key_of(content(model)) != first


def test_a_folder_can_be_loaded_again_from_what_the_patcher_keeps(load, release, weights):
    function, arguments = load(release).cached_patcher_init
    again = function(*arguments).model.diffusion_model.state_dict()
    assert all(torch.equal(again[name], tensor) for name, tensor in weights.items())
