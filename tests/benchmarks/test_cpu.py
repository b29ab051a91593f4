"""The measurement of speed on the CPU: that it measures what it says, not how fast this machine is."""

from argparse import ArgumentParser
from dataclasses import replace

import pytest
import torch

from benchmarks import cpu
from benchmarks.flops import Pass, run_pass
from uniavgen_core.config import TOON, Interaction
from uniavgen_core.shapes import AVShape

SMALL = replace(TOON, num_layers=2, num_interactions=1, patch_size=2)


@pytest.fixture(scope="module")
def results():
    parser = ArgumentParser()
    cpu.add_options(parser)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cpu, "EIGHTH", SMALL)
        patch.setattr(cpu, "matrix_peak", lambda *_: 1e9)
        for peer in ("comfyui_wan", "diffusers_wan"):  # see tests/nodes/test_peers.py
            patch.setattr(cpu, peer, lambda *_: lambda *inputs: inputs[0])
        options = parser.parse_args(["--side", "64", "--frames", "9", "--rounds", "2", "--threads", "1"])
        threads = torch.get_num_threads()
        yield cpu.measure(options)
        torch.set_num_threads(threads)


def test_ratios_are_of_the_times_beside_them(results):
    seconds = results["seconds"]
    for ratio, above, below in (
        ("step_against_naive", "step", "naive_step"),
        ("joint_against_branches", "joint_pass", "branches_pass"),
    ):
        assert results[ratio] == pytest.approx(seconds[above] / seconds[below], rel=0.05)
    floor = results["step_tflop"] * 1e12 / 1e9
    assert results["share_of_the_flop_floor"] == pytest.approx(floor / seconds["step"], rel=0.1)


def test_the_least_time_of_all_rounds_counts():
    ticks = iter([0.0, 3.0, 3.0, 4.0, 10.0, 11.0, 11.0, 16.0])
    assert cpu.least_seconds({"a": lambda: None, "b": lambda: None}, 2, lambda: next(ticks)) == {"a": 1.0, "b": 1.0}


def test_with_one_thread_the_processs_own_time_counts(results):
    assert results["clock"] == "process"


def test_both_forms_have_the_same_weights_and_a_pass_runs_the_interaction_it_is_told():
    model, naive = cpu.networks(SMALL)
    for name, value in model.state_dict().items():
        assert torch.equal(value, naive.state_dict()[name]), name
    ran = []
    model.v2a_blocks[0].register_forward_hook(lambda *_: ran.append("v2a"))
    with torch.no_grad():
        run_pass(model, AVShape(64, 64, 9), Pass(Interaction.OFF))
        assert ran == []
        run_pass(model, AVShape(64, 64, 9), Pass())
    assert ran == ["v2a"]


def test_the_table_sets_every_ratio_beside_its_target(results):
    lines = cpu.table(results).splitlines()
    assert any(line.startswith("video_against_comfyui") for line in lines)
    for name, most in cpu.TARGETS.items():
        assert any(line.startswith(name) and f"{most:.2f}" in line and f"{results[name]:.3f}" in line for line in lines)
