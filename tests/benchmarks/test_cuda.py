"""The measurement of speed on a CUDA device: all of it but the device, at reduced size on a CPU."""

from argparse import Namespace
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch.autograd import DeviceType

from benchmarks import cuda
from benchmarks.__main__ import main
from tests.benchmarks.test_peers import CONFIG, SHAPE

SMALL = replace(CONFIG, num_layers=2, num_interactions=1)


@pytest.fixture(scope="module")
def results(comfyui):  # noqa: ARG001 - so that a missing ComfyUI is a clear failure
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cuda, "matrix_peak", lambda *_: 1e10)
        size = cuda.report(SMALL, SHAPE, "cpu", rounds=2, dtype=torch.float32)
    return {"device": "CPU", "attention": "pytorch", "rounds": 2, "sizes": [size]}


@pytest.mark.parametrize("kind", ["bf16", "fp8"])
def test_a_step_is_its_passes_and_its_floor_is_its_arithmetic_at_the_peak(results, kind):
    one = results["sizes"][0]["formats"][kind]
    seconds, flop = one["seconds"], results["sizes"][0]["formats"]["bf16"]["step_flop"]
    assert seconds["step"] == seconds["cond"] + (seconds["early null"] + seconds["late null"]) / 2
    assert one["step_over_floor"] == pytest.approx(seconds["step"] / (flop / 1e10), rel=0.01)
    assert one["clip_seconds"] == pytest.approx(50 * seconds["step"], abs=0.06)
    assert 0 <= one["host_overhead_seconds"] < seconds["cond"]


def test_the_joint_step_is_set_against_two_passes_of_comfyuis_video_network(results):
    one = results["sizes"][0]["formats"]["bf16"]
    assert one["step_over_video"] == pytest.approx(
        one["seconds"]["step"] / 2 / one["seconds"]["comfyui_video_pass"], rel=0.01
    )


def test_busy_time_is_the_time_inside_operators():
    matrix = torch.randn(300, 300)

    def run():
        for _ in range(20):
            matrix @ matrix

    assert cuda.busy_seconds(run, "cpu") > 0
    assert cuda.busy_seconds(lambda: None, "cpu") < cuda.busy_seconds(run, "cpu")


def test_a_kernels_time_counts_once_though_its_operator_has_it_too():
    operator = SimpleNamespace(device_type=DeviceType.CPU, self_device_time_total=7.0, self_cpu_time_total=2.0)
    kernel = SimpleNamespace(device_type=DeviceType.CUDA, self_device_time_total=7.0, self_cpu_time_total=0.0)
    assert cuda.microseconds([operator, kernel], on_cuda=True) == 7
    assert cuda.microseconds([operator, kernel], on_cuda=False) == 2


def test_the_table_sets_measures_beside_targets(results):
    lines = cuda.table(results).splitlines()
    for kind, targets in cuda.TARGETS.items():
        for name, most in targets.items():
            value = results["sizes"][0]["formats"][kind][name]
            assert any(line.strip().startswith(name) and f"{value:.3f}    at most {most:g}" in line for line in lines)


def test_without_a_cuda_device_the_command_says_so(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match=r"needs a CUDA device.*bench cpu"):
        main(["cuda"])
    with pytest.raises(SystemExit, match="needs a CUDA device"):
        cuda.measure(Namespace(rounds=1))
