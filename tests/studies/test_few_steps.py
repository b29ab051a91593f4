"""The comparison of few steps: that it solves the flow it says, and chooses by the numbers it prints."""

from pathlib import Path

import pytest
import torch

from studies.few_steps import __main__ as steps
from studies.few_steps import steps_report as step_report
from studies.few_steps.cells_of_steps import RELEASE, STUDY_GUIDANCE, Cell, Clips, Studied, cache_config, sigmas_of
from toon.clips import LIVELY
from toon.evaluation.generate_cases import generate
from uniavgen_core.diffusion.sampling_presets import NO_GUIDANCE
from uniavgen_core.pipeline import SampleConfig

STEPS = 4
LIVELY_FILE = Path(__file__).parents[2] / "toon" / "lively" / "uniavgen_toon.safetensors"


@pytest.fixture(scope="module")
def clips(comfyui, tmp_path_factory):  # noqa: ARG001 - so that a missing ComfyUI is a clear failure
    return Clips(1, tmp_path_factory.mktemp("steps"))


def row(sampler="euler", schedule=RELEASE, count=8, video=0.1, audio=0.1, thresholds=(0.0, 0.0), calls=None):
    cell = Cell(sampler, schedule, count, cache_config(*thresholds) if any(thresholds) else None)
    return steps.describe(cell) | {"calls": calls or count, "video": video, "audio": audio}


def test_euler_at_the_releases_noise_levels_is_the_cores_own_loop(clips):
    (video, audio), passes = clips.latents(Cell("euler", RELEASE, STEPS), 1)
    expected = generate(clips.model, clips.codec, clips.cases, SampleConfig(STEPS, guidance=STUDY_GUIDANCE))
    assert passes == 2 * STEPS
    for made, want in zip((video, audio), expected, strict=True):
        assert (made - want).norm() / want.norm() < 1e-5


def test_a_network_without_guidance_takes_one_pass_a_call_on_toons_of_its_world(comfyui, tmp_path):  # noqa: ARG001
    clips = Clips(1, tmp_path, Studied(LIVELY_FILE, "lively", NO_GUIDANCE))
    (video, audio), passes = clips.latents(Cell("euler", RELEASE, 2), 1)
    expected = generate(clips.model, clips.codec, clips.cases, SampleConfig(2, guidance=NO_GUIDANCE))
    assert (passes, clips.calls(passes, 1)) == (2, 2)
    assert clips.cases[0].world is LIVELY
    for made, want in zip((video, audio), expected, strict=True):
        assert (made - want).norm() / want.norm() < 1e-5


def test_a_sampler_that_asks_twice_a_step_is_charged_for_it(clips):
    _, passes = clips.latents(Cell("heun", RELEASE, 2), 1)
    assert passes == 2 * 3  # the last step ends at 0, where nothing is asked


def test_a_cache_saves_passes_and_changes_the_result(clips):
    cached = Cell("euler", "beta", 6, cache_config(3.0, 3.0))
    made, passes = clips.latents(cached, 1)
    plain, of_plain = clips.latents(Cell("euler", "beta", 6), 1)
    assert passes < of_plain == 12
    assert not torch.equal(made[0], plain[0])
    assert torch.equal(made[0][:, :, 0], plain[0][:, :, 0])  # the picture that is given


def test_a_clip_that_is_there_is_not_made_again(clips, monkeypatch):
    cell = Cell("euler", RELEASE, STEPS)
    first, _ = clips.latents(cell, 1)
    monkeypatch.setattr(clips, "_make", None)
    assert torch.equal(clips.latents(cell, 1)[0][0], first[0])


@pytest.mark.parametrize("schedule", [*steps.SCHEDULES])
def test_noise_levels_fall_from_noise_to_data(clips, schedule):  # noqa: ARG001 - makes ComfyUI importable
    sigmas = sigmas_of(schedule, 9)
    assert len(sigmas) == 10
    assert float(sigmas[0]) == pytest.approx(1.0)
    assert float(sigmas[-1]) == 0.0
    assert (sigmas.diff() < 0).all()


def test_a_row_names_its_cell_whole():
    for cell in (Cell("heun", "beta", 12), Cell("euler", RELEASE, 50, cache_config(0.1, 0.4))):
        assert steps.cell_of(steps.describe(cell)) == cell
    names = {Cell("euler", RELEASE, 50, cache_config(*pair)).name for pair in steps.THRESHOLDS}
    assert len(names) == len(steps.THRESHOLDS)


def test_the_best_are_chosen_by_both_modalities_within_the_calls():
    rows = [
        row(video=0.3, audio=0.0, schedule="simple"),
        row(video=0.2, audio=0.2, schedule="beta"),
        row(video=0.0, audio=0.0, schedule=RELEASE),
        row(video=0.1, audio=0.1, schedule="normal", calls=16),
    ]
    assert steps.best_schedule(rows) == "normal"
    assert steps.best_schedule(rows[:3]) == "beta"  # the release's own is compared with anyway
    assert steps.best_within(rows[:2] + rows[3:], 8)["schedule"] == "beta"
    assert steps.best_within(rows[:2] + rows[3:], 20)["schedule"] == "normal"


def test_the_cached_run_with_fewest_calls_within_the_loss_is_chosen():
    plain = row(count=50, video=0.03, audio=0.04)
    cached = [row(count=50, thresholds=(t, t), calls=c, video=e, audio=e) for t, c, e in
              ((0.1, 40, 0.04), (0.2, 30, 0.05), (0.4, 20, 0.2))]  # fmt: skip
    assert steps.best_cached([plain, *cached])["calls"] == 30
    assert steps.best_cached([plain, *cached[2:]])["calls"] == 20  # none keeps to it


def test_the_report_holds_every_number_and_draws_every_sampler(tmp_path):
    results = {
        "model": "toon.safetensors", "world": "lively", "guidance": [1.25, 2.0], "clips": 2,
        "judged_clips": 3, "reference": "euler, shift 5, 200", "schedules": [row(video=0.111)],
        "samplers": [row(count=n, video=0.222 / n) for n in (4, 8)] + [row("heun", count=4), row("heun")],
        "cache": [row(count=50), row(count=50, thresholds=(0.1, 0.2), calls=22.5, audio=0.333)],
        "judged": [{"sampler": "ground truth", "corr": 0.444}, row() | {"corr": 0.555}],
    }  # fmt: skip
    step_report.write(results, tmp_path)
    text = (tmp_path / "steps.md").read_text()
    assert "toon.safetensors, world lively, guidance 1.25 and 2." in text
    for number in ("0.111", "0.056", "22.500", "0.200", "0.333", "0.444", "0.555"):
        assert number in text
    assert (tmp_path / "steps.png").stat().st_size > 10_000
