"""The command line for checkpoints: what it describes, what it finds wrong, and what 8 bits cost."""

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from tests.parity.fixtures import Golden
from tests.shards import shard_name, write_shards
from tests.toys import TINY, random_model
from uniavgen_core.checkpoint import quantization_error as probe
from uniavgen_core.checkpoint.__main__ import main
from uniavgen_core.checkpoint.checked_files import CheckpointError
from uniavgen_core.checkpoint.comfy_layers import FP8
from uniavgen_core.checkpoint.config_from_weights import METADATA_KEY, Contents, metadata_of
from uniavgen_core.checkpoint.describe import inspect, verify
from uniavgen_core.checkpoint.load_weights import load_model
from uniavgen_core.checkpoint.merge_and_cut import cut
from uniavgen_core.checkpoint.quantization_error import velocity_error
from uniavgen_core.checkpoint.quantize_weights import QuantizeConfig, quantize
from uniavgen_core.config import to_dict

ROOT = Path(__file__).parents[3]
HIGH_PRECISION = ("a2v_blocks.", "v2a_blocks.", "time_", "text_", "patch_", "audio_embedding.", "head")
ROUNDING = {"float8_e4m3fn": 2**-4, "float8_e5m2": 2**-3}
"""Half a step of the formats' last digit, relative."""


@pytest.fixture(scope="module")
def weights():
    state = random_model(dtype=torch.float32).state_dict()
    return {name: tensor if "modulation" in name else tensor.bfloat16() for name, tensor in state.items()}


@pytest.fixture
def folder(tmp_path, weights):
    return write_shards(tmp_path / "UniAVGen", weights, metadata_of(TINY))


@pytest.fixture
def small(tmp_path):
    return tmp_path / "fp8.safetensors"


@pytest.fixture(scope="module")
def golden_folder(golden, tmp_path_factory):
    model = Golden(golden, "forward_f32").model()
    return write_shards(tmp_path_factory.mktemp("golden") / "UniAVGen", model.state_dict(), metadata_of(model.config))


def run(capsys, *arguments):
    """Exit status, last line as JSON, stderr."""
    status = main([*map(str, arguments), "--json"])
    output = capsys.readouterr()
    return status, json.loads(output.out.splitlines()[-1]), output.err


def changed(folder, weights, **tensors):
    return write_shards(folder, weights | tensors, metadata_of(TINY))


def test_a_description_counts_every_parameter_once_by_group_and_dtype(capsys, folder, weights):
    status, report, _ = run(capsys, "inspect", folder)
    total = sum(tensor.numel() for tensor in weights.values())
    assert (status, report["kind"], report["tensors"]) == (0, "3 shards, plain", len(weights))
    assert report["parameters"] == total == sum(report["groups"].values()) == sum(report["dtypes"].values())
    assert report["groups"]["a2v_blocks"] == sum(t.numel() for n, t in weights.items() if n.startswith("a2v_blocks."))
    assert report["dtypes"]["float32"] == sum(t.numel() for n, t in weights.items() if "modulation" in n)
    assert report["geometry"] == to_dict(TINY)


def test_a_good_checkpoint_has_the_hashes_of_its_files_and_no_problem(capsys, folder):
    status, report, progress = run(capsys, "verify", folder)
    hashes = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.safetensors")}
    assert (status, report["problems"]) == (0, [])
    assert {file["name"]: file["sha256"] for file in report["files"]} == hashes
    assert "100 %" in progress


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_are_not_finite_are_counted_with_tensor_and_file(tmp_path, weights, value):
    broken = weights["head.head.bias"].clone()
    broken[:2] = value
    report = verify(changed(tmp_path / "broken", weights, **{"head.head.bias": broken}))
    assert len(report["problems"]) == 1
    assert f"head.head.bias in {shard_name(3)} holds 2 numbers" in report["problems"][0]


def test_a_wrong_shape_is_a_problem(tmp_path, weights):
    (problem,) = verify(changed(tmp_path / "broken", weights, **{"head.head.bias": torch.zeros(3)}))["problems"]
    assert re.search(r"1 misshapen: head\.head\.bias is \(3,\), not", problem)


def test_unknown_and_optional_names_are_notices_and_no_problem(tmp_path, weights, capsys):
    odd = {name: tensor for name, tensor in weights.items() if name != "audio_padding"}
    folder = changed(tmp_path / "odd", odd, **{"blocks.0.extra": torch.full((3,), float("nan"))})
    status, report, _ = run(capsys, "verify", folder)
    assert (status, report["problems"]) == (0, [])
    extra, absent = report["notices"]
    assert "odd holds a tensor that the network does not have. It is ignored: blocks.0.extra." in extra
    assert "odd has no audio_padding" in absent


def test_of_many_unknown_names_a_few_are_named_and_all_counted(tmp_path, weights):
    more = {f"discriminator.{number}": torch.zeros(1) for number in range(9)}
    (notice,) = verify(changed(tmp_path / "more", weights, **more))["notices"]
    assert "9 tensors" in notice
    assert notice.endswith(
        "discriminator.0, discriminator.1, discriminator.2, discriminator.3, discriminator.4 and 4 more."
    )


def test_a_branch_is_cut_without_what_the_network_does_not_have(tmp_path, weights):
    folder = changed(tmp_path / "odd", weights, **{"audio_blocks.0.extra": torch.zeros(3)})
    target = tmp_path / "audio.safetensors"
    cut(folder, target, Contents.AUDIO)
    assert "audio_blocks.0.extra" not in load_file(target)
    assert verify(target)["notices"] == []


def test_a_checkpoint_with_problems_has_another_exit_status_than_one_that_cannot_be_read(capsys, folder):
    assert run(capsys, "inspect", folder / "nowhere.safetensors")[0] == 2
    (folder / shard_name(2)).unlink()
    status, report, _ = run(capsys, "verify", folder)
    assert status == 1
    assert shard_name(2) in report["problems"][0]
    status, report, error = run(capsys, "merge", folder, folder.parent / "out.safetensors")
    assert status == 2
    assert shard_name(2) in report["error"]
    assert shard_name(2) in error


def test_a_file_with_another_hash_than_listed_is_a_problem_and_one_not_listed_is_none(capsys, folder, tmp_path):
    good = hashlib.sha256((folder / shard_name(1)).read_bytes()).hexdigest().upper()
    listed = tmp_path / "SHA256SUMS"
    listed.write_text(f"{good}  {shard_name(1)}\n{'0' * 64} *shards/{shard_name(2)}\n", encoding="utf-8")
    status, report, _ = run(capsys, "verify", folder, "--hashes", listed)
    assert status == 1
    assert [shard_name(2) in problem for problem in report["problems"]] == [True]


def test_merging_from_the_command_line_gives_a_file_the_core_loads(capsys, folder, weights):
    status, report, _ = run(capsys, "merge", folder, folder.parent / "out.safetensors")
    assert (status, report["tensors"]) == (0, len(weights))
    assert load_model(report["target"]).config == TINY


@pytest.mark.parametrize("kind", FP8)
def test_quantised_weights_are_within_the_formats_rounding_and_all_else_is_bit_for_bit(folder, small, weights, kind):
    layers = quantize(folder, small, QuantizeConfig(kind))["layers"]
    got = load_file(small)
    assert layers.keys() == {n.removesuffix(".comfy_quant") for n in got if n.endswith(".comfy_quant")}
    for layer in layers:
        weight, scale = weights[f"{layer}.weight"].float(), got.pop(f"{layer}.weight_scale")
        assert json.loads(bytes(got.pop(f"{layer}.comfy_quant").tolist())) == {"format": kind}
        stored = got.pop(f"{layer}.weight")
        assert stored.dtype == FP8[kind]
        difference = (stored.float() * scale - weight).abs()
        assert (difference <= ROUNDING[kind] * weight.abs() + scale * 2**-9).all(), layer
        assert stored.float().abs().max() == torch.finfo(FP8[kind]).max, "the scale uses the whole range"
        assert layers[layer] == pytest.approx((difference.norm() / weight.norm()).item(), rel=1e-4)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in got.items())
    assert got.keys() == weights.keys() - {f"{layer}.weight" for layer in layers}


def test_interactions_modulation_embeddings_and_heads_stay_in_high_precision(folder, small):
    layers = quantize(folder, small)["layers"]
    assert not [layer for layer in layers if layer.startswith(HIGH_PRECISION)]
    assert {layer.split(".", 2)[2] for layer in layers} == {
        *(f"{attention}.{part}" for attention in ("self_attn", "cross_attn") for part in "qkvo"),
        "ffn.0",
        "ffn.2",
    }
    assert {layer.split(".")[0] for layer in layers} == {"blocks", "audio_blocks"}


def test_patterns_add_to_the_layers_that_stay_or_stand_in_their_place(capsys, folder, small):
    quiet = ("--no-measure", "--replace")
    _, usual, _ = run(capsys, "quantize", folder, small, *quiet)
    _, more, _ = run(capsys, "quantize", folder, small, *quiet, "--keep", "blocks.0.*", "--keep", "audio_blocks.*")
    _, other, _ = run(capsys, "quantize", folder, small, *quiet, "--keep-only", "head*")
    assert {n for n in usual["layers"] if not n.startswith(("blocks.0.", "audio_blocks."))} == more["layers"].keys()
    assert "a2v_blocks.0.q" in other["layers"]
    assert not [layer for layer in other["layers"] if layer.startswith("head")]


def test_a_pattern_that_names_nothing_is_refused_with_names_that_exist(folder, small):
    with pytest.raises(CheckpointError, match=r"No layer is named block\.0.*Names look like"):
        quantize(folder, small, QuantizeConfig(keep=("block.0",)))
    with pytest.raises(CheckpointError, match="nothing is left"):
        quantize(folder, small, QuantizeConfig(keep=("*",)))
    assert not small.exists()


def test_full_precision_multiplication_is_written_beside_each_layer(folder, small):
    layers = quantize(folder, small, QuantizeConfig(full_precision_matmul=True))["layers"]
    got = load_file(small)
    notes = [json.loads(bytes(got[f"{layer}.comfy_quant"].tolist())) for layer in layers]
    assert all(note == {"format": "float8_e4m3fn", "full_precision_matrix_mult": True} for note in notes)


def test_a_layer_of_zeros_stays_zero(tmp_path, weights, small):
    name = "blocks.1.ffn.2.weight"
    report = quantize(changed(tmp_path / "zero", weights, **{name: torch.zeros_like(weights[name])}), small)
    got = load_file(small)
    assert (got[name].float() * got["blocks.1.ffn.2.weight_scale"]).abs().max() == 0
    assert report["layers"]["blocks.1.ffn.2"] == 0


def test_weights_that_are_not_finite_are_not_quantised(tmp_path, weights, small):
    name = "blocks.1.ffn.2.weight"
    broken = weights[name].clone()
    broken[0, 0] = float("nan")
    with pytest.raises(CheckpointError, match=r"blocks\.1\.ffn\.2\.weight holds numbers that are not finite"):
        quantize(changed(tmp_path / "broken", weights, **{name: broken}), small)
    assert not small.exists()


def test_a_quantised_file_is_described_verified_and_not_quantised_again(folder, small):
    layers = quantize(folder, small)["layers"]
    report = inspect(small)
    assert (report["kind"], report["quantised_layers"]) == ("one file, quantized", len(layers))
    assert report["parameters"] == inspect(folder)["parameters"]
    assert verify(small)["problems"] == []
    with pytest.raises(CheckpointError, match="already quantized"):
        quantize(small, small.with_stem("again"))
    with pytest.raises(CheckpointError, match="is quantized"):
        load_model(small)


def test_a_quantised_layer_without_its_scale_is_a_problem(folder, small):
    layer = next(iter(quantize(folder, small)["layers"]))
    with safe_open(small, "pt") as file:
        metadata = file.metadata()
    tensors = {name: tensor for name, tensor in load_file(small).items() if name != f"{layer}.weight_scale"}
    save_file(tensors, small, metadata)
    assert verify(small)["problems"] == [f"The quantized layer {layer} has no scale."]


def test_a_quantised_file_that_lacks_a_weight_is_a_problem(folder, small):
    layer = next(iter(quantize(folder, small)["layers"]))
    tensors = {name: tensor for name, tensor in load_file(small).items() if name != f"{layer}.weight"}
    save_file(tensors, small, metadata_of(TINY))
    assert f"1 missing: {layer}.weight" in verify(small)["problems"][0]


def test_the_velocity_error_is_that_of_a_network_with_the_rounded_weights(folder, small, monkeypatch):
    quantize(folder, small)
    stored = load_file(small)
    passes = []
    real = probe.predict_velocities
    monkeypatch.setattr(probe, "predict_velocities", lambda *args: passes.append(real(*args)) or passes[-1])
    reported = velocity_error(folder, small)
    model = load_model(folder, dtype=torch.bfloat16)
    for layer in {name.removesuffix(".weight_scale") for name in stored if name.endswith(".weight_scale")}:
        weight = stored[f"{layer}.weight"].float() * stored[f"{layer}.weight_scale"]
        model.get_submodule(layer).weight.data = weight.bfloat16()
    with torch.inference_mode():
        want = real(model, torch.bfloat16)
    assert torch.equal(passes[1]["video"], want["video"])
    assert torch.equal(passes[1]["audio"], want["audio"])
    for name, error in reported.items():
        first, second = (one[name].float() for one in passes)
        assert error == pytest.approx(((second - first).norm() / first.norm()).item())
        assert error > 0


def test_quantising_from_the_command_line_reports_what_it_costs(capsys, folder, small):
    status, report, _ = run(capsys, "quantize", folder, small)
    assert status == 0
    assert report["velocity_error"] == velocity_error(folder, small)
    assert report["bytes"] == small.stat().st_size


def test_metadata_that_says_something_unknown_is_told_in_one_line(capsys, tmp_path, weights):
    folder = write_shards(tmp_path / "odd", weights, {METADATA_KEY: '{"depth": 3}'})
    for command, status in (("inspect", 2), ("verify", 1)):
        assert run(capsys, command, folder)[0] == status
    line = run(capsys, "inspect", folder)[2]
    assert line.startswith(f"{shard_name(1)}: ")
    assert line.endswith("ModelConfig has no field named depth.\n")


def test_the_module_prints_its_object_last_and_progress_apart(folder):
    command = [sys.executable, "-m", "uniavgen_core.checkpoint", "verify", str(folder), "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1])["problems"] == []
    assert "%" in done.stderr
    assert "%" not in done.stdout


def test_measuring_gives_every_layer_its_own_weight_back_when_it_has_run(folder, small, weights):
    quantize(folder, small)
    model = load_model(folder)
    probe.quantise_while_running(model, probe.quantised_weights(small))
    with torch.inference_mode():
        probe.predict_velocities(model, torch.bfloat16)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())


def test_fp8_moves_the_golden_networks_velocity_by_less_than_a_twentieth_and_five_bits_by_more(golden_folder, tmp_path):
    errors = {}
    for kind in FP8:
        quantize(golden_folder, tmp_path / f"{kind}.safetensors", QuantizeConfig(kind))
        errors[kind] = velocity_error(golden_folder, tmp_path / f"{kind}.safetensors")
    assert max(errors["float8_e4m3fn"].values()) < 0.05
    assert errors["float8_e4m3fn"]["video"] < errors["float8_e5m2"]["video"] < 0.1
