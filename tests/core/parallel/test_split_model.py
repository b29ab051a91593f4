"""A network that is split over processes gives the results of one process, and sends what the roofline counts."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.core.parallel.split_program import PASSES
from uniavgen_core.checkpoint.own_sampling import OwnSampling
from uniavgen_core.checkpoint.trained_on import BUNDLED_CLIPS, metadata_of_clips
from uniavgen_core.config import RELEASED, TOON
from uniavgen_core.diffusion.sampling_presets import NO_GUIDANCE, TOON_STEPS
from uniavgen_core.parallel.__main__ import config_of, main, parse
from uniavgen_core.parallel.sequence_group import even_spans, length, overlap
from uniavgen_core.parallel.sequence_shares import plan_sequences
from uniavgen_core.pipeline import SampleConfig
from uniavgen_core.tasks import TASKS

ROOT = Path(__file__).parents[3]
NAMES = (*PASSES, *TASKS, "script")


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """Folder with the reports of all processes."""
    folder = tmp_path_factory.mktemp("processes")
    command = [sys.executable, "-m", "tests.core.parallel.split_program", str(folder), "2", "4"]
    subprocess.run(command, cwd=ROOT, check=True)
    return folder


@pytest.fixture(params=[2, 4], ids="{} processes".format)
def processes(request, reports):
    """Reports of all processes."""
    return json.loads((reports / f"{request.param}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", NAMES)
def test_processes_together_compute_what_one_computes(processes, name):
    for report in processes:
        assert report["distances"][name] < 1e-5


def test_every_case_ran(processes):
    assert all(set(report["distances"]) == set(NAMES) for report in processes)


def test_processes_send_the_bytes_that_the_roofline_counts(processes):
    for report in processes:
        assert len(report["counted"]) == 3
        assert all(report["sent"][name] == counted > 0 for name, counted in report["counted"].items())


def test_more_processes_than_heads_or_latents_are_refused_and_so_are_gradients(processes):
    for report in processes:
        refusals = report["refusals"]
        assert f"The audio branch has 1 attention head, too few for {len(processes)} processes" in refusals["heads"]
        assert f"cannot be divided among {len(processes)} processes" in refusals["latents"]
        assert "torch.no_grad()" in refusals["gradients"]


@pytest.mark.parametrize("cards", [2, 4, 8])
def test_every_latent_and_mel_frame_of_a_released_clip_has_one_owner_and_few_are_fetched(cards):
    plan = plan_sequences(RELEASED, 21, 506, (1, 300), cards)
    for shares, steps, reference in ((plan.video, 21, 1), (plan.audio, 506, 300)):
        assert [step for span in shares.clip for step in range(*span)] == list(range(steps))
        assert sum(map(length, shares.reference)) == reference
    assert max(plan.video.lengths()) == -(-22 // cards)
    for own, needed in zip(plan.video.clip, plan.latents_needed, strict=True):
        assert overlap(needed, own) == own, "no latent is without mel frames"
        assert length(needed) <= length(own) + 1
    for own, needed in zip(plan.audio.clip, plan.frames_needed, strict=True):
        assert overlap(needed, own) == own
        assert length(needed) <= length(own) + 60


def test_spans_are_as_even_as_whole_numbers_allow():
    assert even_spans(11, 4) == ((0, 3), (3, 6), (6, 9), (9, 11))
    assert even_spans(2, 4) == ((0, 1), (1, 2), (2, 2), (2, 2))


def test_the_script_samples_as_suits_a_network_by_its_metadata_or_its_size(tmp_path):
    def config(metadata, size):
        path = tmp_path / "renamed.safetensors"
        save_file({"weight": torch.zeros(1)}, path, metadata)
        return config_of(parse(["face.png", "hi", "--model", str(path)]), size)

    bundled, taught = metadata_of_clips(BUNDLED_CLIPS), OwnSampling(8, guided=False).metadata
    cases = (bundled, RELEASED), ({}, TOON), (bundled | taught, RELEASED), ({}, RELEASED)
    configs = [config(*case) for case in cases]
    assert [one.steps for one in configs] == [TOON_STEPS, TOON_STEPS, 8, SampleConfig().steps]
    assert [one.guidance == NO_GUIDANCE for one in configs] == [True, True, True, False]
    assert configs[3] == SampleConfig()


def test_the_script_says_what_it_cannot_use_and_writes_no_file(tmp_path, capsys):
    out = tmp_path / "latent.safetensors"
    picture = Path("no such picture.png")
    assert main([str(picture), "hello moon", "--out", str(out)]) == 2
    assert picture.name in capsys.readouterr().err
    assert not out.exists()
