"""Runs from a file: the paper's numbers, changes to them, where weights start, and what comes out."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.core.training.trainer_program import NOISE, TINY, tiny_model
from uniavgen_core.checkpoint.load_weights import load_model, save_weights
from uniavgen_core.checkpoint.own_sampling import OwnSampling, own_sampling
from uniavgen_core.checkpoint.trained_on import TrainedOn, trained_on
from uniavgen_core.checkpoint.weight_files import WeightFiles
from uniavgen_core.config import Interaction
from uniavgen_core.model.initialize import initialize
from uniavgen_core.model.joint import Conditions, JointModel
from uniavgen_core.tasks import JOINT, PAPER_TASKS
from uniavgen_core.training import __main__ as door
from uniavgen_core.training import prepare_run as prepare
from uniavgen_core.training.batch_part import Part
from uniavgen_core.training.cli import export_command as export
from uniavgen_core.training.estimate import AUDIO_BRANCH
from uniavgen_core.training.flow_matching import CleanClips, without_picture
from uniavgen_core.training.gradient_checkpointing import RecomputedModel
from uniavgen_core.training.paper_stages import STAGES, AdamConfig
from uniavgen_core.training.plugins import model_config_of
from uniavgen_core.training.prepare_run import build_model, load_audio_branch, read_note, write_note
from uniavgen_core.training.run_config import RunConfig, parse_sigmas, read_run
from uniavgen_core.training.task_sampling import LogitNormal, ShiftedUniform, task_objective
from uniavgen_core.training.trainer import Trainer
from uniavgen_core.training.trainer_config import TrainerConfig

CPU = torch.device("cpu")


def run_file(tmp_path, **values):
    path = tmp_path / "run.json"
    path.write_text(json.dumps({"stage": "joint", "data": "clips"} | values), encoding="utf-8")
    return path


def samples_of(stage, count=4000):
    return [STAGES[stage].tasks.sample_task(np.random.default_rng([5, i])) for i in range(count)]


def test_the_published_numbers_are_the_papers():
    numbers = {name: (x.batch, x.adam.rate, x.steps) for name, x in STAGES.items()}
    assert numbers == {"speech": (256, 2e-5, 160_000), "joint": (32, 5e-6, 30_000), "tasks": (32, 5e-6, 10_000)}
    for stage in STAGES.values():
        assert (stage.adam.betas, stage.adam.epsilon) == ((0.9, 0.999), 1e-8)
    joint = STAGES["joint"].tasks
    assert [joint.loss_weights(progress).mask for progress in (0.0, 0.5, 1.0)] == pytest.approx([0.1, 0.05, 0.0])
    assert {STAGES[name].tasks.loss_weights(0.0).mask for name in ("speech", "tasks")} == {0.0}


def test_the_first_stage_trains_sound_alone_and_the_third_has_five_tasks_in_the_papers_ratio():
    assert all(sample.audio_alone for sample in samples_of("speech", 50))
    samples = samples_of("tasks")
    shares = {task.name: np.mean([sample.task is task for sample in samples]) for task in PAPER_TASKS}
    expected = {"joint": 0.4, "reference_voice": 0.1, "continuation": 0.1, "dubbing": 0.2, "audio_driven": 0.2}
    assert shares == pytest.approx(expected, abs=0.025)
    assert all(sample.has_voice == sample.task.reference_voice for sample in samples)


@pytest.mark.parametrize("stage", ["joint", "tasks"])
def test_a_tenth_of_joint_samples_alone_has_no_interaction(stage):
    samples = samples_of(stage)
    off = [sample for sample in samples if sample.interaction is Interaction.OFF]
    assert {sample.task for sample in off} == {JOINT}
    assert len(off) / sum(sample.task is JOINT for sample in samples) == pytest.approx(0.1, abs=0.02)
    assert {sample.text_dropout for sample in off} == {0.5}
    assert all(sample.interaction is sample.task.interaction for sample in samples if sample not in off)


def test_a_file_changes_what_it_names_and_nothing_else(tmp_path):
    run = read_run(
        run_file(
            tmp_path, name="mine", trainer={"steps": 7, "average": 0.9}, adam={"betas": [0.8, 0.9]},
            tasks={"sigmas": {"mean": 1.5, "std": 1.0}, "dubbing": 2}, source={"voice_frames": [100]},
            engine={"precision": "no"}, lora={"branch": "audio", "rank": 4},
        )
    )  # fmt: skip
    config, stage = run.trainer_config, run.preset
    assert (config.steps, config.average, config.batch, config.warmup) == (7, 0.9, 32, 1000)
    assert config.home.name == "mine"
    assert (stage.adam.betas, stage.adam.rate) == ((0.8, 0.9), 5e-6)
    assert (stage.tasks.sigmas, stage.tasks.dubbing, stage.tasks.joint) == (LogitNormal(1.5, 1.0), 2, 1.0)
    assert stage.source.voice_frames == (100,)
    assert run.engine_config.precision == "no"
    assert (run.plan.branch.value, run.plan.rank) == ("audio", 4)
    plain = read_run(run_file(tmp_path))
    assert plain.preset == STAGES["joint"]
    assert plain.trainer_config.home.name == "joint"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"stage": "fourth"}, "stage is 'fourth'; it is one of speech, joint, tasks"),
        ({"model": "big"}, "it is released, or a Python package with a MODEL"),
        ({"dta": "x"}, r"run\.json has no field named dta\. It has stage, data,.* from,"),
        ({"trainer": {"step": 3}}, r"trainer has no field named step\. It has .*steps, batch"),
        ({"tasks": {"dub": 1}}, r"tasks has no field named dub\. It has .*dubbing"),
        ({"tasks": {"sigmas": {"mu": 1}}}, "give shift, or mean and std"),
        ({"engine": {"precision": "fp8"}}, "precision is 'fp8'"),
        ({"trainer": {"steps": 0}}, "steps is 0"),
        ({"lora": {"rank": 0}}, "rank is 0"),
        ({"guidance": {"scale": 2}}, r"guidance has no field named scale\. It has video_scale"),
        ({"guidance": {"audio_scale": 0}}, "scales that are learned must be positive"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused_before_anything_is_loaded(tmp_path, values, message, capsys):
    with pytest.raises(ValueError, match=message):
        read_run(run_file(tmp_path, **values))
    assert door.main(["run", str(run_file(tmp_path, **values))]) == 2
    assert capsys.readouterr().err


@pytest.mark.parametrize("text", ["{", "[]", '{"stage": "joint"}'])
def test_a_file_that_is_no_run_is_refused(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(ValueError, match=r"run\.json"):
        read_run(tmp_path / "run.json")
    with pytest.raises(ValueError, match="cannot be read"):
        read_run(tmp_path / "other.json")


def test_noise_levels_are_read_by_their_fields():
    assert parse_sigmas({"shift": 3}) == ShiftedUniform(3)
    assert parse_sigmas({"std": 2.0}) == LogitNormal(std=2.0)
    with pytest.raises(ValueError, match="give shift"):
        parse_sigmas({})


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setattr("toon.MODEL", TINY)


@pytest.mark.usefixtures("tiny")
def test_a_new_joint_network_is_its_two_branches():
    model = build_model(RunConfig("joint", "", model="toon"), CPU)
    for head in (model.head.head, model.head_audio.head):
        torch.nn.init.normal_(head.weight)
    torch.manual_seed(0)
    inputs = (torch.randn(1, 48, 3, 2, 2), torch.randn(1, 24, 80), (torch.rand(1, 3) * 1000, torch.rand(1, 24) * 1000))
    conditions = Conditions(torch.randn(1, 4, 64), torch.ones(1, 10, dtype=torch.long))
    joint = model(*inputs, conditions)
    apart = model(*inputs, replace(conditions, interaction=Interaction.OFF))
    assert torch.equal(joint.video, apart.video)
    assert torch.equal(joint.audio, apart.audio)
    torch.nn.init.normal_(model.v2a_blocks[0].o.weight)
    assert not torch.equal(model(*inputs, conditions).audio, apart.audio)


@pytest.mark.usefixtures("tiny")
def test_new_weights_come_from_the_seed_alone():
    first, again, other = (build_model(RunConfig("joint", "", model="toon", seed=seed), CPU) for seed in (3, 3, 4))
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in first.state_dict().items())
    assert not torch.equal(first.blocks[0].ffn[0].weight, other.blocks[0].ffn[0].weight)


@pytest.mark.usefixtures("tiny")
def test_weights_start_from_files(tmp_path, monkeypatch):
    whole, ears = tiny_model(seed=1), tiny_model(seed=2)
    for name, model in (("whole", whole), ("ears", ears)):
        save_weights(model.state_dict(), TINY, tmp_path / f"{name}.safetensors", torch.float32)
    wan = []
    monkeypatch.setattr(prepare, "load_wan_branch", lambda model, path: wan.append((model, path)))
    run = RunConfig(
        "joint", "", start=str(tmp_path / "whole.safetensors"), audio_from=str(tmp_path / "ears.safetensors"),
        video_from="wan.safetensors", checkpointing=True,
    )  # fmt: skip
    model = build_model(run, CPU)
    assert isinstance(model, RecomputedModel)
    assert wan == [(model, "wan.safetensors")]
    for name, value in model.state_dict().items():
        expected = ears if name.startswith(AUDIO_BRANCH) else whole
        assert torch.equal(value, expected.state_dict()[name]), name
    assert not any(name.startswith(("blocks.", "a2v_", "v2a_", "head.")) for name in names_of_audio(model))


def names_of_audio(model):
    return [name for name in model.state_dict() if name.startswith(AUDIO_BRANCH)]


@pytest.mark.usefixtures("tiny")
def test_an_audio_branch_of_another_size_is_refused(tmp_path):
    other = JointModel(replace(TINY, mel_bins=40))
    initialize(other)
    save_weights(other.state_dict(), other.config, tmp_path / "other.safetensors", torch.float32)
    model = tiny_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ValueError, match=r"audio_embedding\.0\.weight"):
        load_audio_branch(model, tmp_path / "other.safetensors")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.usefixtures("tiny")
def test_the_first_stage_trains_the_audio_branch_alone_and_loras_only_adapters():
    speech = build_model(RunConfig("speech", "", model="toon"), CPU)
    assert {name for name, value in speech.named_parameters() if value.requires_grad} == {
        name for name, _ in speech.named_parameters() if name.startswith(AUDIO_BRANCH)
    }
    adapted = build_model(RunConfig("joint", "", model="toon", lora={"rank": 2}), CPU)
    assert all("lora" in name for name, value in adapted.named_parameters() if value.requires_grad)


def test_adam_decays_every_trained_weight_and_no_frozen_one():
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Linear(2, 3))
    model[0].requires_grad_(False)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    optimizer = prepare.make_adam(model, AdamConfig(rate=0.1, decay=0.5))
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)  # without a gradient's pull, decay alone moves a weight
    optimizer.step()
    for parameter, start in zip(model[0].parameters(), before[:2], strict=True):
        assert torch.equal(parameter, start)
    for parameter, start in zip(model[1].parameters(), before[2:], strict=True):
        torch.testing.assert_close(parameter.detach(), start * (1 - 0.1 * 0.5))


class NoiseSource:
    """Clips of noise, without pictures where the audio branch is trained alone."""

    def draw_clips(self, sample, shared, own):
        del shared
        draw = lambda *shape: torch.stack([torch.from_numpy(r.standard_normal(shape)).float() for r in own])  # noqa: E731
        conditions = Conditions(draw(4, 64), torch.ones(len(own), 10, dtype=torch.long), interaction=sample.interaction)
        kept = torch.arange(3).expand(len(own), -1) == 0
        face = torch.rand(len(own), 3, 4, 4)
        clips = CleanClips(
            draw(48, 3, 4, 4), draw(24, 80), kept, torch.zeros(len(own), 24, dtype=torch.bool), face, face, conditions
        )
        return without_picture(clips) if sample.audio_alone else clips


@pytest.mark.parametrize("stage", ["speech", "joint"])
def test_stages_train_networks_whose_tokens_are_several_latent_pixels(stage):
    model = JointModel(replace(TINY, patch_size=2))
    initialize(model)
    objective = task_objective(NoiseSource(), STAGES[stage].tasks, 0)
    losses = objective.losses(model, objective.data[Part(0, 0, 2)], 0.0)
    losses["loss"].backward()
    assert model.head_audio.head.weight.grad.abs().max() > 0
    moved = model.head.head.weight.grad
    assert (moved is None or moved.abs().max() == 0) == (stage == "speech")


def trained(folder, plan=None, model=None):
    model = model or tiny_model()
    config = TrainerConfig(folder, "run", steps=2, batch=2, bar=False, workers=0)
    weights = [value for value in model.parameters() if value.requires_grad]
    trainer = Trainer(model, [torch.optim.AdamW(weights, 1e-2)], NOISE, config)
    trainer.run()
    write_note(config.home, TINY, plan)
    return trainer


def test_an_exported_checkpoint_is_the_averaged_network(tmp_path):
    trainer = trained(tmp_path)
    assert (
        door.main(["export", str(tmp_path / "run"), "--out", str(tmp_path / "a.safetensors"), "--dtype", "float32"])
        == 0
    )
    model = load_model(tmp_path / "a.safetensors")
    assert model.config == TINY
    assert read_note(tmp_path / "run") == (TINY, None)
    for name, value in model.state_dict().items():
        assert torch.equal(value, trainer.average.values[name]), name


def test_an_exported_checkpoint_of_adapters_is_a_lora(tmp_path):
    run = RunConfig("joint", "", model="toon", lora={"rank": 2})
    model = tiny_model()
    prepare.add_lora(model, run.plan)
    trainer = trained(tmp_path, run.plan, model)
    assert export.main([str(tmp_path / "run" / "step-00000002"), "--out", str(tmp_path / "lora.safetensors")]) == 0
    tensors = load_file(tmp_path / "lora.safetensors")
    own = trainer.average.values["blocks.0.self_attn.q.lora_B.default.weight"]
    assert torch.equal(tensors["diffusion_model.blocks.0.self_attn.q.lora_B.weight"], own)


def test_export_says_what_is_wrong(tmp_path, capsys):
    assert door.main(["export", str(tmp_path), "--out", "x.safetensors"]) == 2
    assert "holds no whole checkpoint" in capsys.readouterr().err
    trained(tmp_path)
    (tmp_path / "run" / "network.json").unlink()
    assert door.main(["export", str(tmp_path / "run"), "--out", "x.safetensors"]) == 2
    assert "network.json" in capsys.readouterr().err


def test_a_run_on_toons_goes_from_a_file_to_samples_and_a_model_and_goes_on_with_guidance(tmp_path, capsys):
    values = {
        "data": "toon:3", "folder": str(tmp_path), "model": "toon", "checkpointing": True,
        "engine": {"cpu": True, "precision": "no"},
        "trainer": {"steps": 2, "batch": 2, "log_every": 1, "sample_every": 2, "bar": False},
    }  # fmt: skip
    assert door.main(["run", str(run_file(tmp_path, **values)), "--json"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out.splitlines()[-1]) == {"run": str(tmp_path / "joint"), "steps": 2, "finished": True}
    assert "memory of one device" in shown.err
    assert "of it without gradients" not in shown.err
    samples = sorted((tmp_path / "joint" / "samples" / "step-00000002").iterdir())
    assert [path.name for path in samples] == ["clip_0.mp4", "clip_1.mp4"]
    assert door.main(["export", str(tmp_path / "joint"), "--out", str(tmp_path / "a.safetensors")]) == 0
    assert load_model(tmp_path / "a.safetensors").config == model_config_of("toon")
    seen = trained_on(model_config_of("toon"), WeightFiles(tmp_path / "a.safetensors").metadata)
    assert seen == TrainedOn(33, 33, ((128, 128),))
    assert own_sampling(WeightFiles(tmp_path / "a.safetensors").metadata) is None
    values["trainer"]["steps"] = 3
    values["guidance"] = {"video_scale": 1.5, "skip_layer": None}
    assert door.main(["run", str(run_file(tmp_path, **values))]) == 0
    assert "of it without gradients" in capsys.readouterr().err  # the null pass
    lines = [json.loads(line) for line in (tmp_path / "joint" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3]
    assert door.main(["export", str(tmp_path / "joint"), "--out", str(tmp_path / "b.safetensors")]) == 0
    assert own_sampling(WeightFiles(tmp_path / "b.safetensors").metadata) == OwnSampling(guided=False)


def test_the_door_lists_its_commands(capsys):
    assert door.main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in door.COMMANDS)
    assert door.main([]) == 2
    assert door.main(["trian"]) == 2
    assert "no command trian" in capsys.readouterr().err
