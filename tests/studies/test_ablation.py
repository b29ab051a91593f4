"""The ablation study: cells differ in their one part alone, runs resume, and reports are made from their files."""

import json
from dataclasses import asdict, fields, replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from studies.ablation import __main__ as command
from studies.ablation import study_runs as runs
from studies.ablation.cell_losses import STUDY_TASKS, cell_objective, clips_of_task, keep_masks, study_losses
from studies.ablation.cell_measures import MEASURES, Meter, still_psnr
from studies.ablation.cells import BASE, CELLS, Cell, MaskLoss, Place, Study, cell_named
from studies.ablation.comparisons import TABLES, Results, Verdict, verdict
from studies.ablation.study_clips import Material
from studies.ablation.study_report import last_fall, write_report
from studies.ablation.study_runs import GUIDANCE, JUDGES, PRETRAIN, TRUTH, Job
from toon.clips import make_clip
from toon.training.diagonal_start import new_model
from uniavgen_core.config import RELEASE, Interaction
from uniavgen_core.tasks import AUDIO_DRIVEN, JOINT
from uniavgen_core.training.batch_part import Part
from uniavgen_core.training.flow_matching import Batch

SMALL = Study(dim=32, num_layers=2, video_frames=17, batch=2, pretrain_steps=2, steps=4)
CLIPS, LATENTS, MEL = 12, 5, 106


@pytest.fixture(scope="module")
def material():
    random = np.random.default_rng(0)
    shares = (CLIPS, LATENTS, 4, 4)
    return Material(
        video=random.standard_normal((CLIPS, 48, LATENTS, 4, 4)),
        mel=random.standard_normal((CLIPS, MEL, 80)),
        face=random.random(shares),
        mouth=random.random(shares),
        transcripts=np.array([f"one {i}" for i in range(CLIPS)]),
        captions=np.array(["a toon"] * CLIPS),
        voices=np.arange(CLIPS) % 4,
    )


class Listener(torch.nn.Module):
    """Stands in for the network: notes what it is given, predicts nothing."""

    def __init__(self):
        super().__init__()
        self.config = SMALL.model_config(BASE)
        self.given = []

    def forward(self, video, audio, times, conditions, kept):
        self.given.append((video, audio, times, conditions, kept))
        output = type("Output", (), {})()
        output.video, output.audio = torch.zeros_like(video), torch.zeros_like(audio)
        output.face_masks = torch.full((len(video), 1, video.shape[2], 4), 0.5)
        return output


def heard(material, cell, steps, progress=0.0, seed=3):
    """What the network is given in some steps of a cell."""
    listener = Listener()
    objective = cell_objective(material, listener.config.text, seed, cell)
    for step in range(steps):
        objective.losses(listener, objective.data[Part(step, 0, 2, progress)], progress)
    return listener.given


def interactions(given):
    return [conditions.interaction for *_, conditions, _ in given]


def test_every_cell_differs_from_the_base_in_one_part_alone():
    names = [cell.name for cell in CELLS]
    assert len(set(names)) == len(names)
    assert Cell("base", RELEASE) == BASE
    configs = {cell.name: SMALL.model_config(cell) for cell in CELLS}
    for cell in CELLS[1:]:
        apart = {f.name for f in fields(Cell) if getattr(cell, f.name) != getattr(BASE, f.name)} - {"name"}
        variants = [f.name for f in fields(RELEASE) if getattr(cell.variant, f.name) != getattr(RELEASE, f.name)]
        kinds = {name.removeprefix("a2v_").removeprefix("v2a_") for name in variants}
        assert len(kinds) <= 1, cell.name
        assert apart in (
            {"variant"},
            {"variant", "mask_loss"},
            {"placement"},
            {"placement", "dense"},
            {"mask_loss"},
            {"tasks_from"},
        )
        assert asdict(cell) not in [asdict(replace(other, name=cell.name)) for other in CELLS if other is not cell]
    assert configs["mask-fixed"] == configs["base"] != configs["mask-absent"]


def test_the_placements_take_the_layers_of_their_names():
    def layers(name):
        config = replace(Study(), num_layers=4).model_config(cell_named(name))
        return [layer for layer in range(4) if config.interaction_of(layer) is not None]

    assert [layers(f"layers-{name}") for name in ("first", "last", "all")] == [[0, 1], [2, 3], [0, 1, 2, 3]]
    assert layers("base") == [0, 2]


def test_an_unknown_cell_is_named_with_those_that_exist():
    with pytest.raises(ValueError, match="no cell named 'bass'; there are base, sgi-sgi"):
        cell_named("bass")


def test_the_mask_loss_fades_only_where_it_decays():
    weights = {kind: [kind.weight(progress) for progress in (0.0, 0.25)] for kind in MaskLoss}
    assert weights == {MaskLoss.NONE: [0, 0], MaskLoss.FIXED: [1, 1], MaskLoss.DECAYING: [1, 0.75]}


@pytest.mark.parametrize("name", ["sti-sti", "mask-absent", "layers-all", "before-ffn"])
def test_cells_of_a_seed_see_the_same_clips_noise_and_texts(material, name):
    for ours, theirs in zip(heard(material, BASE, 12), heard(material, cell_named(name), 12), strict=True):
        assert torch.equal(ours[0], theirs[0])
        assert torch.equal(ours[1], theirs[1])
        assert torch.equal(ours[3].speech_ids, theirs[3].speech_ids)
        assert ours[3].interaction == theirs[3].interaction


def test_seeds_and_steps_see_different_noise(material):
    firsts = [heard(material, BASE, 2, seed=seed)[step][1] for seed in (3, 4) for step in (0, 1)]
    assert len({float(first.sum()) for first in firsts}) == 4


def test_the_interaction_is_off_now_and_then_and_always_in_the_first_stage(material):
    off = interactions(heard(material, BASE, 300)).count(Interaction.OFF) / 300
    assert 0.09 < off < 0.21
    assert set(interactions(heard(material, None, 20))) == {Interaction.OFF}


def test_tasks_are_drawn_only_after_their_time_and_in_their_shares(material):
    cell = cell_named("then-tasks")
    assert set(interactions(heard(material, cell, 40, 0.59))) == {Interaction.BOTH, Interaction.OFF}
    given = heard(material, cell, 400, 0.6)
    kinds = {
        "voice": [conditions.reference_audio is not None for *_, conditions, _ in given],
        "continuation": [bool(kept[0][0, 1]) and not bool(kept[0].all()) for *_, kept in given],
        "dubbing": [conditions.interaction is Interaction.VIDEO_TO_AUDIO for *_, conditions, _ in given],
        "driven": [bool(kept[1].all()) for *_, kept in given],
    }
    shares = {name: sum(found) / 400 for name, found in kinds.items()}
    wanted = {"voice": 0.1, "continuation": 0.1, "dubbing": 0.2, "driven": 0.2}
    assert shares == pytest.approx(wanted, abs=0.06)
    for *_, conditions, kept in given:
        lone_task = bool(kept[0].all() | kept[1].any()) or conditions.reference_audio is not None
        assert not (lone_task and conditions.interaction is Interaction.OFF)


def test_a_reference_voice_is_the_speakers_and_comes_with_its_words(material):
    given = heard(material, cell_named("then-tasks"), 100, 0.9)
    voiced = [conditions for *_, conditions, _ in given if conditions.reference_audio is not None]
    assert len(voiced) > 3
    for conditions in voiced:
        for reference, image in zip(conditions.reference_audio, conditions.reference_image, strict=True):
            who = [i for i in range(CLIPS) if torch.equal(reference, material.tensor("mel", [i])[0])]
            seen = [i for i in range(CLIPS) if torch.equal(image, material.tensor("video", [i])[0, :, :1])]
            assert material.voices[who[0]] == material.voices[seen[0]]
    texts = [len(f"one {i} one {j}") for i in range(CLIPS) for j in range(CLIPS)]
    lengths = torch.cat([conditions.speech_lengths for conditions in voiced])
    assert int(lengths.max()) in texts
    assert int(lengths.max()) > 10


def test_what_a_task_keeps():
    kept = {task: keep_masks(task, 7, 156, 2) for task in STUDY_TASKS}
    counts = [(int(video[0].sum()), int(audio[1].sum())) for video, audio in kept.values()]
    assert counts == [(1, 0), (1, 0), (3, 56), (7, 0), (1, 156)]  # 9 frames last 56 mel frames


def test_kept_parts_enter_clean_at_time_zero_and_cost_nothing(material):
    noise = torch.ones(1, 48, LATENTS, 4, 4), torch.ones(1, MEL, 80)
    conditions = material.conditions([5], [False], SMALL.model_config(BASE).text)
    listener = Listener()
    clips = clips_of_task(material, [5], conditions, AUDIO_DRIVEN)
    losses = study_losses(listener, Batch(clips, torch.tensor([0.7]), *noise), 0.0)
    video, audio, times, _, _ = listener.given[0]
    assert torch.equal(audio, material.tensor("mel", [5]))
    assert torch.equal(video[:, :, 0], material.tensor("video", [5])[:, :, 0])
    assert not torch.equal(video[:, :, 1:], material.tensor("video", [5])[:, :, 1:])
    assert times[0][0].tolist() == pytest.approx([0, 700, 700, 700, 700])
    assert times[1].max() == 0
    assert losses["audio"] == 0
    assert losses["loss"] == losses["video"]


def test_the_mask_loss_counts_by_its_weight_and_in_tokens(material):
    noise = torch.ones(1, 48, LATENTS, 4, 4), torch.ones(1, MEL, 80)
    conditions = material.conditions([1], [False], SMALL.model_config(BASE).text)
    batch = Batch(clips_of_task(material, [1], conditions, JOINT), torch.tensor([0.5]), *noise)
    without, with_mask = (study_losses(Listener(), batch, weight) for weight in (0.0, 2.0))
    pooled = material.face[1].astype(np.float32).reshape(LATENTS, 2, 2, 2, 2).mean((2, 4))
    assert float(with_mask["mask"]) == pytest.approx(((pooled - 0.5) ** 2).mean(), rel=1e-4)
    assert float(with_mask["loss"] - without["loss"]) == pytest.approx(2 * float(with_mask["mask"]), rel=1e-3)


# Runs.


@pytest.fixture
def place(tmp_path, material, monkeypatch):
    """A work folder whose clips are made up, and whose meter measures nothing."""
    monkeypatch.setattr(runs, "load_material", lambda *_: material)
    monkeypatch.setattr(Meter, "of", classmethod(lambda cls, *_: cls(SMALL, material, [], None, None)))
    monkeypatch.setattr(Meter, "generate", lambda *_: [])
    monkeypatch.setattr(Meter, "judge", lambda *_: {"sync": 0.5})
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)
    return Place(tmp_path)


def test_cells_start_from_the_branches_of_their_seed_with_untrained_interactions(place):
    runs.run(Job(PRETRAIN, 1), SMALL, place.work)
    branches = load_file(place.pretrained(1))
    assert not any(name.startswith(("a2v", "v2a")) for name in branches)
    runs.run(Job("layers-all", 1), replace(SMALL, steps=1), place.work)
    trained = load_file(place.weights("layers-all", 1))
    fresh = new_model(SMALL.model_config(cell_named("layers-all")), 1).state_dict()
    moved = [(trained[name] - branches[name]).abs().max() for name in branches]
    from_scratch = [(trained[name] - fresh[name]).abs().max() for name in branches]
    assert max(moved) < 0.1 * max(from_scratch)
    content = json.loads(place.result("layers-all", 1).read_text())
    assert (content["name"], content["seed"], content["steps"]) == ("layers-all", 1, 1)
    assert content["values"]["sync"] == 0.5
    assert content["values"]["video_loss"] > 0


def test_a_killed_run_ends_as_if_it_had_not_been(tmp_path, material, monkeypatch):
    monkeypatch.setattr(runs, "CHECKPOINT_STEPS", 2)

    def ended(folder, killed_at):
        objective = cell_objective(material, SMALL.model_config(BASE).text, 0, BASE)

        def mortal(model, batch, progress):
            if killed_at is not None and progress == killed_at / 4:
                raise MemoryError
            return objective.losses(model, batch, progress)

        model = new_model(SMALL.model_config(BASE), 0)
        return runs.fit(model, replace(objective, losses=mortal), folder, 4, 2)[0]

    whole = ended(tmp_path / "whole", None)
    with pytest.raises(MemoryError):
        ended(tmp_path / "killed", 3)
    again = ended(tmp_path / "killed", None)
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_untrained_interactions_gain_nothing_and_trained_ones_something(material):
    meter = Meter(SMALL, material, [], None, None)
    model = new_model(SMALL.model_config(BASE), 0).eval()
    assert meter.losses(model)["video_gain"] == pytest.approx(0, abs=1e-6)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))
    assert abs(meter.losses(model)["video_gain"]) > 1e-6
    assert "mask_error" not in meter.losses(new_model(SMALL.model_config(cell_named("mask-absent")), 0))


def test_what_a_run_needs_begins_before_it():
    jobs = command.jobs_of([cell.name for cell in CELLS] + [GUIDANCE], [0, 1, 2])
    for job in jobs:
        assert all(jobs.index(need) < jobs.index(job) for need in job.needs), job
    assert jobs.index(Job("sti-sti", 2)) < jobs.index(Job("layers-first", 0))
    assert Job("base", 7) in command.jobs_of([GUIDANCE], [7])


def test_finished_runs_are_not_repeated(tmp_path):
    jobs, place = command.jobs_of(["base"], [0]), Place(tmp_path)
    for job in jobs:
        job.output(place).parent.mkdir(parents=True, exist_ok=True)
        job.output(place).touch()
    assert command.run_all(jobs, SMALL, tmp_path, 1, lambda *_: pytest.fail("something began")) == []


def test_a_run_that_fails_leaves_undone_only_what_needs_it(tmp_path):
    """Nothing is in the folder to train on, so the base cell fails; guidance, which needs it, is not begun."""
    place = Place(tmp_path)
    for job in (Job(JUDGES, 0), Job(PRETRAIN, 0), Job(TRUTH, 0)):
        job.output(place).parent.mkdir(parents=True, exist_ok=True)
        job.output(place).touch()
    told = []
    undone = command.run_all(
        command.jobs_of(["base", GUIDANCE], [0]),
        SMALL,
        tmp_path,
        2,
        lambda job, what: told.append((job.name, what[:6])),
    )
    assert undone == [Job("base", 0), Job(GUIDANCE, 0)]
    assert told == [("base", "begins"), ("base", "failed")]


def test_a_folder_of_another_study_is_refused(tmp_path):
    command.hold_to(SMALL, tmp_path)
    command.hold_to(SMALL, tmp_path)
    with pytest.raises(ValueError, match="study of other sizes"):
        command.hold_to(replace(SMALL, steps=5), tmp_path)


def test_results_are_taken_over_only_from_a_study_of_the_same_sizes(tmp_path):
    results = tmp_path / "results"
    (results / "runs").mkdir(parents=True)
    (results / "runs" / "base-seed-0.json").write_text("{}")
    (results / "study.json").write_text(json.dumps(asdict(SMALL)))
    command.take_over(replace(SMALL, steps=5), results, tmp_path / "other")
    assert not (tmp_path / "other").exists()
    command.take_over(SMALL, results, tmp_path / "same")
    assert (tmp_path / "same" / "runs" / "base-seed-0.json").exists()


# Reports.


def write_run(folder, name, seed, values, kinds=None):
    (folder / "runs").mkdir(parents=True, exist_ok=True)
    curve = [{"step": 20 * i, "video": 1 / i, "audio": 1.0, "mask": 0.1} for i in (1, 2)]
    content = {"name": name, "seed": seed, "values": values, "curve": curve}
    content |= {"kinds": kinds} if kinds else {}
    (folder / "runs" / f"{name}-seed-{seed}.json").write_text(json.dumps(content))


def measured(sync, loss):
    return dict.fromkeys(MEASURES, 0.5) | {"sync": sync, "video_loss": loss}


def test_verdicts_follow_the_rule():
    assert verdict([-0.3, -0.2, -0.25], -1) is Verdict.REPRODUCED
    assert verdict([0.3, 0.2, 0.25], -1) is Verdict.NOT_REPRODUCED
    assert verdict([-0.3, 0.01, -0.25], -1) is Verdict.NOISY
    assert verdict([-0.9, -0.01, -0.02], -1) is Verdict.NOISY  # one sign, but within two standard errors
    assert verdict([0.0, 0.0, 0.0], 1) is Verdict.NOISY
    assert verdict([-0.3, -0.2], -1) is Verdict.FEW


def test_the_last_fall_of_a_loss_is_told_of_the_last_two_tenths_of_all_seeds():
    falling = [[{"video": 3.0}] * 16 + [{"video": 2.0}] * 2 + [{"video": 1.0}] * 2]
    level = [[{"video": 3.0}] * 10 + [{"video": 2.0}] * 10]
    assert last_fall(falling, "video") == pytest.approx(0.5)
    assert last_fall(level, "video") == 0
    assert last_fall(falling + level, "video") == pytest.approx(0.25)


def test_a_report_is_made_from_the_files_alone(tmp_path):
    for seed in range(3):
        write_run(tmp_path, "base", seed, measured(0.40 + 0.01 * seed, 0.50))
        write_run(tmp_path, "sgi-sgi", seed, measured(0.20 + 0.02 * seed, 0.60 + 0.01 * seed))
        write_run(tmp_path, "sti-sti", seed, measured(0.60 + 0.01 * seed, 0.50 - 0.1 * (seed == 1)))
        write_run(tmp_path, "ati-sti", seed, measured(0.60 + 0.02 * seed, 0.50))
        kinds = {name: measured(0.3, 0.5) for name in {**Study().guidance, **Study().curves}}
        write_run(tmp_path, GUIDANCE, seed, {}, kinds)
    tables = write_report(tmp_path)
    lines = tables["interaction"]
    assert lines["ATI/ATI"]["mean"]["sync"] == pytest.approx(0.41)
    assert lines["ATI/ATI"]["spread"]["sync"] == pytest.approx(0.01)
    assert lines["SGI/SGI"]["verdicts"]["sync"] == "reproduced"
    assert lines["SGI/SGI"]["verdicts"]["video_loss"] == "reproduced"  # a higher loss is worse
    assert lines["STI/STI"]["verdicts"]["sync"] == "not reproduced"
    assert lines["STI/STI"]["verdicts"]["video_loss"] == "too noisy to say"
    assert lines["ATI/STI"]["verdicts"]["sync"] == "better, the paper gives no number"
    assert lines["ATI/STI"]["verdicts"]["timbre"] == "too noisy to say"
    assert "layers" not in tables
    text = (tmp_path / "REPORT.md").read_text()
    assert "*SGI/SGI* against *ATI/ATI*: reproduced by `sync`" in text
    assert "## Layers that interact\n\nNot run yet." in text
    assert "0.410 ± 0.010" in text
    drawn = {path.stem for path in tmp_path.glob("*.png")}
    assert drawn == {"interaction", "guidance", "scales", "curves"}


def test_seeds_are_compared_with_themselves(tmp_path):
    """Seeds differ by more than the cells do; only the differences within seeds count."""
    for seed in range(3):
        write_run(tmp_path, "base", seed, measured(0.2 * seed, 0.5))
        write_run(tmp_path, "sti-sti", seed, measured(0.2 * seed - 0.02 - 0.001 * seed, 0.5))
    assert write_report(tmp_path)["interaction"]["STI/STI"]["verdicts"]["sync"] == "reproduced"


def test_a_report_without_results_says_so(tmp_path):
    with pytest.raises(ValueError, match="no results"):
        write_report(tmp_path)
    assert command.main(["--report", "--work", str(tmp_path), "--results", str(tmp_path / "results")]) == 1


def test_every_line_of_a_table_is_a_run_of_the_study():
    names = {cell.name for cell in CELLS} | {GUIDANCE}
    shown = {line.run for table in TABLES for line in table.lines}
    assert shown == names
    kinds = {line.kind for table in TABLES for line in table.lines} - {None}
    assert kinds == set(Study().guidance)


def test_runs_of_a_folder_are_found_by_name_and_seed(tmp_path):
    write_run(tmp_path, "base", 4, measured(0.1, 0.2))
    assert Results(tmp_path).runs["base"][4]["values"]["sync"] == 0.1


def test_a_disturbed_background_costs_decibels():
    clip = make_clip(3, 17)
    assert still_psnr(clip.frames, clip) == 99
    noisy = clip.frames.astype(int) + np.random.default_rng(0).integers(-8, 9, clip.frames.shape)
    assert 28 < still_psnr(noisy.clip(0, 255), clip) < 38
