"""The table of memory: weights are those that files have, and what a card holds adds up to the card."""

from argparse import Namespace
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from benchmarks import memory
from benchmarks.memory import BUFFERED, GIB, Weights, fit, usage_factor, weights_of
from tests.toys import TINY
from uniavgen_core.checkpoint.gguf_file import GgufFile
from uniavgen_core.checkpoint.load_weights import save_weights
from uniavgen_core.checkpoint.quantize_weights import QuantizeConfig, quantize
from uniavgen_core.config import RELEASED, BranchConfig
from uniavgen_core.model.initialize import initialize
from uniavgen_core.model.joint import JointModel
from uniavgen_core.shapes import AVShape

SMALL = replace(TINY, video=BranchConfig(256, 512, 2), audio=BranchConfig(256, 512, 2))
SHAPE = AVShape(64, 64, 9)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    torch.manual_seed(0)
    model = JointModel(SMALL)
    initialize(model)
    path = tmp_path_factory.mktemp("memory") / "plain.safetensors"
    save_weights(model.state_dict(), model.config, path, torch.bfloat16)
    return path


def test_weights_are_the_bytes_of_files_in_each_format(plain):
    assert weights_of(SMALL, "bf16").total == sum(value.nbytes for value in load_file(plain).values())
    small = plain.with_name("fp8.safetensors")
    quantize(plain, small)
    stored = {name: value for name, value in load_file(small).items() if not name.endswith(("_scale", "comfy_quant"))}
    assert weights_of(SMALL, "fp8 scaled").total == sum(value.nbytes for value in stored.values())
    packed = plain.with_name("packed.gguf")
    quantize(plain, packed, QuantizeConfig("Q4_K_M"))
    file = GgufFile(packed)
    held = sum(file.stored(name).nbytes for name in file.kinds)
    rest = sum(2 * torch.Size(file.shapes[name]).numel() for name in file.entries if name not in file.kinds)
    assert weights_of(SMALL, "Q4_K_M").total == held + rest


def test_the_released_checkpoint_has_its_published_size_and_a_unit_has_both_blocks_and_the_interaction():
    weights = weights_of(RELEASED, "bf16")
    assert weights.total == 2 * 7_056_424_223
    with_exchange, without = weights.units[28], weights.units[29]
    assert with_exchange - without == pytest.approx(2 * (425.1e6 + 212.5e6) / 15, rel=1e-3)
    assert sum(weights.units) + weights.around == weights.total


def test_a_card_holds_no_more_than_it_has_and_what_does_not_stay_streams_in_both_passes():
    weights, activations = Weights((10 * GIB // 10,) * 10, 0, 0), GIB
    roomy, tight, tiny = (fit(weights, activations, limit * GIB) for limit in (16, 8, 2))
    assert roomy == (weights.total, 0, True)
    resident, streamed, _ = tight
    spoken_for = resident + BUFFERED * GIB + activations + memory.CONTEXT + memory.RESERVE
    assert spoken_for == pytest.approx(8 * GIB)
    assert streamed == 2 * (weights.total - resident)
    assert not tiny[2]


def test_the_factor_gives_the_activations_back_by_comfyuis_formula():
    shape = AVShape(480, 480, 81)
    area = 48 * 21 * 30 * 30 + 506 * 80
    assert area * 2 * 0.01 * usage_factor(shape, 10**9) * 1024 * 1024 == pytest.approx(10**9)


def test_on_a_device_the_share_is_limited_and_what_is_above_the_weights_counts(monkeypatch):
    shares, peak = [], iter([50])
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda share, _: shares.append(share))
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: 20)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda _: None)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda _: next(peak))
    assert memory.measured(SHAPE, 0.25, "Q4_K_M", replace(SMALL, latent_channels=48), "cpu") == 30
    assert shares == [0.25]


def test_the_table_says_that_it_is_computed_and_has_a_row_for_each_clip_and_format(monkeypatch):
    monkeypatch.setattr(memory, "traced", lambda *_: 10**9)
    results = memory.measure(Namespace())
    lines = memory.table(results).splitlines()
    assert "computed" in lines[0]
    rows = [line for line in lines if line.startswith(("| 1280x736x81 ", "| 736x736x81 ", "| 480x480x81 "))]
    assert len(rows) == len(memory.SIZES) * len(memory.FORMATS)
    streams = results["sizes"][0]["cards"][2]
    assert f"{streams['streamed_gb']:.1f}, tiled" in rows[0]
