"""The measurement of training at the released width, here at a small one."""

import json
from argparse import ArgumentParser
from dataclasses import replace

import pytest
import torch

from benchmarks import train
from uniavgen_core.config import TOON, BranchConfig
from uniavgen_core.training.estimate import estimate

SMALL = replace(TOON, video=BranchConfig(48, 96, 2), audio=BranchConfig(32, 64, 2), num_layers=4, num_interactions=2)
SMALL = replace(SMALL, patch_size=2)
FAR = {"of": "all", "step_seconds": 6.5, "tokens_per_second": 60000, "memory_gb_of_a_card_in_all": 29.7}


@pytest.fixture(scope="module")
def results():
    parser = ArgumentParser()
    train.add_options(parser)
    options = parser.parse_args(["--steps", "4", "--side", "64", "--frames", "9", "--layers", "2"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "CUT", replace(train.CUT, network=SMALL))
        patch.setattr(train, "computed", lambda: FAR)
        patch.setattr(train, "PEAK_SECONDS", 0.0)
        patch.setattr(train, "RATE", 1e-2)
        patch.setattr(torch.cuda, "is_available", lambda: False)
        return train.measure(options)


def test_the_numbers_follow_from_one_another(results):
    assert json.loads(json.dumps(results)) == results
    assert [line["step"] for line in results["log"]] == [0, 1, 2, 3]
    assert results["tokens_per_step"] == (3 + 1) * 2 * 2 + 56
    assert (results["layers"], results["interactions"]) == (2, 1)
    seconds = results["step_seconds"]
    assert results["tokens_per_second"] == pytest.approx(results["tokens_per_step"] / seconds, rel=0.1)
    assert results["mfu"] < results["hardware_share"]
    assert results["mfu_of_cpu_time"] == pytest.approx(results["mfu"] * seconds / results["step_cpu_seconds"], rel=0.2)
    assert results["peak_memory_gb"] > 0.01


def test_arithmetic_and_parameters_are_those_of_the_network_that_was_trained(results):
    size = train.TrainSize(2, replace(train.CUT.shape, width=64, height=64, video_frames=9))
    config = replace(SMALL, num_layers=2, num_interactions=1)
    guess = estimate(replace(size.run, model=config))
    assert results["parameters"] == guess.trained
    assert results["step_tflop"] == pytest.approx(guess.operations / 1e12, abs=1e-4)
    assert guess.tokens == results["tokens_per_step"]


def test_the_table_sets_measured_apart_from_computed(results):
    measured, computed = train.table(results).split("computed: all")
    assert f"{results['tokens_per_second']:.1f}" in measured
    assert f"{results['mfu']:.1%}" in measured
    assert "29.70" in computed
    assert "29.70" not in measured


def test_the_weights_learn(results):
    assert results["last_loss"] < results["first_loss"]


def test_the_default_is_what_a_cpu_holds_and_the_whole_network_on_a_card():
    parser = ArgumentParser()
    train.add_options(parser)
    options = parser.parse_args([])
    assert train.size_of(options, torch.device("cpu")) == train.CUT
    assert train.size_of(options, torch.device("cuda")) == train.WHOLE
    assert train.WHOLE.layers == 30
    assert train.CUT.steps == train.WHOLE.steps == 20
