"""Distillation as a stage: from a run's file to a LoRA, the same however it is divided and broken off."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from tests.core.training.trainer_program import TINY, log_of, main, start, tiny_model
from uniavgen_core.bundled.bundled_files import BUNDLED_MODEL
from uniavgen_core.checkpoint.load_weights import save_weights
from uniavgen_core.config import GuidanceConfig, Interaction
from uniavgen_core.diffusion.sampler import sample_lcm
from uniavgen_core.training import __main__ as door
from uniavgen_core.training.checkpoint_weights import averaged_weights
from uniavgen_core.training.cli import estimate_command
from uniavgen_core.training.distill.distill_config import FEW_STEPS_KEY, DistillConfig, Method, ModalityConfig
from uniavgen_core.training.lora import is_lora, merge_lora
from uniavgen_core.training.prepare_run import build_model
from uniavgen_core.training.run_config import RunConfig, read_run

METHODS = [method.value for method in Method]


def run_file(tmp_path, **values):
    path = tmp_path / "distill.json"
    path.write_text(json.dumps({"stage": "distill", "data": "toon:3", "from": str(BUNDLED_MODEL)} | values))
    return path


@pytest.mark.parametrize("method", METHODS)
def test_a_broken_off_run_goes_on_bit_for_bit(tmp_path, method):
    main(tmp_path / "whole", {"distill": method, "steps": 4})
    main(tmp_path / "parts", {"distill": method, "steps": 4, "checkpoint_every": 2})
    for name in ("trainer.json", "manifest.json"):
        (tmp_path / "parts" / "run" / "step-00000004" / name).unlink()
    with pytest.warns(UserWarning, match="damaged"):
        main(tmp_path / "parts", {"distill": method, "steps": 4, "checkpoint_every": 2})
    whole, parts = (log_of(tmp_path / name) for name in ("whole", "parts"))
    assert [line["loss"] for line in parts] == [line["loss"] for line in whole]
    expected = averaged_weights(tmp_path / "whole" / "run" / "step-00000004")
    got = averaged_weights(tmp_path / "parts" / "run" / "step-00000004")
    assert all(torch.equal(got[name], value) for name, value in expected.items())
    assert any(is_lora(name) and not torch.equal(value, torch.zeros_like(value)) for name, value in got.items())


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """Runs of two processes that accumulate."""
    folder = tmp_path_factory.mktemp("together")
    runs = [(folder / method, 2, {"distill": method, "steps": 4, "accumulation": 2}) for method in METHODS]
    assert start(*runs).wait(timeout=600) == 0
    return folder


@pytest.mark.parametrize("method", METHODS)
def test_two_processes_that_accumulate_give_the_run_of_one(tmp_path, together, method):
    main(tmp_path, {"distill": method, "steps": 4})
    alone, two = log_of(tmp_path), log_of(together / method)
    assert any(name.startswith("student_") for line in alone for name in line)
    for one, other in zip(alone, two, strict=True):
        assert set(one) == set(other)
        shared = sorted(set(one) - {"seconds", "examples_per_second"})
        np.testing.assert_allclose([other[name] for name in shared], [one[name] for name in shared], rtol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_a_run_goes_from_a_file_to_a_lora_that_says_how_to_sample(tmp_path, method, capsys):
    values = {
        "folder": str(tmp_path), "lora": {"rank": 4, "alpha": 4}, "distill": {"method": method, "passes": 2,
        "critic_steps": 1, "guidance": {"skip_layer": None}}, "engine": {"cpu": True, "precision": "no"},
        "adam": {"rate": 0.01}, "trainer": {"steps": 2, "batch": 1, "log_every": 1, "warmup": 0, "sample_every": 2,
        "bar": False, "workers": 0},
    }  # fmt: skip
    assert door.main(["run", str(run_file(tmp_path, **values))]) == 0
    assert "of it without gradients" in capsys.readouterr().err
    assert len(list((tmp_path / "distill" / "samples" / "step-00000002").iterdir())) == 2
    out = tmp_path / "student.safetensors"
    assert door.main(["export", str(tmp_path / "distill"), "--out", str(out)]) == 0
    with safe_open(out, "pt") as file:
        told = json.loads(file.metadata()[FEW_STEPS_KEY])
    assert told == {
        "method": method, "passes": 2, "shift": 5.0, "sigmas": [1.0, 0.833333, 0.0],
        "sampler": "euler" if method == "consistency" else "lcm",
    }  # fmt: skip
    tensors = load_file(out)
    assert not any("critic" in name for name in tensors)
    assert any(name.endswith("lora_B.weight") and value.any() for name, value in tensors.items())
    assert {name.split(".")[1] for name in tensors} == {"blocks", "audio_blocks", "a2v_blocks", "v2a_blocks"}


def test_a_student_has_adapters_and_never_a_pass_without_interaction(tmp_path):
    run = read_run(run_file(tmp_path))
    assert (run.plan.rank, run.plan.interactions, run.plan.branch.value) == (64, True, "both")
    assert run.distillation == DistillConfig()
    samples = [run.preset.tasks.sample_task(np.random.default_rng(i)) for i in range(300)]
    assert {sample.interaction is Interaction.OFF for sample in samples} == {False}
    assert len({sample.task for sample in samples}) == 5
    changed = {"video": {"shift": 3.0}, "guidance": {"video_scale": 1.5, "skip_layer": None}, "passes": 8}
    assert read_run(run_file(tmp_path, distill=changed)).distillation == DistillConfig(
        passes=8, guidance=GuidanceConfig(1.5, skip_layer=None), video=ModalityConfig(3.0)
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"from": None}, "A student needs a teacher"),
        ({"guidance": {"video_scale": 2.0}}, "is a field of distill"),
        ({"stage": "tasks", "distill": {"passes": 2}}, "distill belongs to the stage distill; stage is 'tasks'"),
        ({"distill": {"passes": 5}}, "teacher_steps is 48; it must be a multiple of passes, 5"),
        ({"distill": {"passes": 0}}, "passes is 0"),
        ({"distill": {"steps": 4}}, r"distill has no field named steps\. It has method, passes"),
        ({"distill": {"method": "gan"}}, "gan"),
        ({"distill": {"video": {"shift": 0}}}, "shift is 0"),
        ({"distill": {"audio": {"weight": -1}}}, "weight is -1"),
        ({"distill": {"shift": -1}}, "shift is -1"),
        ({"stage": "tasks", "lora_from": "student.safetensors"}, 'trains? adapters; add "lora"'),
    ],
)
def test_a_distillation_that_cannot_be_meant_is_refused(tmp_path, values, message):
    with pytest.raises(ValueError, match=message):
        read_run(run_file(tmp_path, **values))


def test_new_adapters_come_from_the_seed_alone(tmp_path):
    save_weights(tiny_model().state_dict(), TINY, tmp_path / "tiny.safetensors", torch.float32)
    run = RunConfig("distill", "", start=str(tmp_path / "tiny.safetensors"), distill={"method": "distribution"})
    torch.manual_seed(1)
    first = build_model(run, torch.device("cpu")).state_dict()
    torch.manual_seed(2)
    again = build_model(run, torch.device("cpu")).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    assert any(is_lora(name, "critic") for name in first)


def run_from_adapters(folder, **fields):
    """A student's run on the tiny network, with adapters of another alpha that do something as its start."""
    from tests.core.training.test_lora import adapted
    from tests.toys import random_model
    from uniavgen_core.training.lora import LoraPlan, save_lora

    plan, teacher = LoraPlan(interactions=True, rank=3, alpha=7.0), random_model(dtype=torch.float32)
    save_lora(adapted(plan), folder / "a.safetensors", plan)
    save_weights(teacher.state_dict(), teacher.config, folder / "teacher.safetensors", torch.float32)
    files = {"start": str(folder / "teacher.safetensors"), "lora_from": str(folder / "a.safetensors")}
    return RunConfig("distill", "", **{**files, **fields})


@pytest.mark.parametrize("method", ["consistency", "distribution"])
def test_a_student_starts_from_the_adapters_of_a_file_whatever_their_alpha_and_its_teacher_does_not(tmp_path, method):
    from tests.core.training.test_lora import CLIP
    from tests.toys import random_model
    from uniavgen_core.training.active_adapter import active_adapter

    run = run_from_adapters(tmp_path, lora={"rank": 3, "alpha": 2.0}, distill={"method": method})
    model, earlier = build_model(run, torch.device("cpu")).eval(), random_model(dtype=torch.float32)
    merge_lora(earlier, tmp_path / "a.safetensors")
    want, untaught = CLIP.run(earlier).video, CLIP.run(random_model(dtype=torch.float32)).video
    torch.testing.assert_close(CLIP.run(model).video, want, rtol=1e-4, atol=1e-5)
    with active_adapter(model, None):
        torch.testing.assert_close(CLIP.run(model).video, untaught, rtol=1e-4, atol=1e-5)
    assert (want - untaught).abs().max() > 1e-2


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"lora": {"rank": 4, "alpha": 7.0}}, r"a\.safetensors: .*lora_A\.weight is \(3, .*\), not \(4, "),
        ({"lora_from": "nowhere.safetensors"}, r"nowhere\.safetensors"),
        ({"lora_from": "teacher"}, r"teacher\.safetensors: .*missing: .*lora_A"),
    ],
)
def test_adapters_of_another_rank_or_kind_are_refused_by_name(tmp_path, fields, message):
    run = run_from_adapters(tmp_path, lora={"rank": 3})
    if fields.get("lora_from") == "teacher":
        fields = {"lora_from": run.start}
    with pytest.raises(ValueError, match=message):
        build_model(replace(run, **fields), torch.device("cpu"))


def test_merged_adapters_are_the_adapters(tmp_path):
    from tests.core.training.test_lora import CLIP, adapted
    from tests.toys import random_model
    from uniavgen_core.training.lora import LoraPlan, save_lora

    plan, plain = LoraPlan(interactions=True, rank=3, alpha=7.0), random_model(dtype=torch.float32)
    model = adapted(plan)
    save_lora(model, tmp_path / "a.safetensors", plan)
    before = CLIP.run(plain).video
    merge_lora(plain, tmp_path / "a.safetensors")
    torch.testing.assert_close(CLIP.run(plain).video, CLIP.run(model).video, rtol=1e-4, atol=1e-5)
    assert (CLIP.run(plain).video - before).abs().max() > 1e-2
    with pytest.raises(ValueError, match="a layer that the network lacks"):
        merge_lora(tiny_model(layers=1), tmp_path / "a.safetensors")


def test_consistency_sampling_mixes_each_estimate_with_new_noise():
    draws = iter([(torch.full((3,), 10.0),), (torch.full((3,), 20.0),)])
    seen = []

    def denoise(noisy, sigma):
        seen.append((noisy[0].tolist(), sigma))
        return (torch.ones(3),)

    result = sample_lcm(denoise, (torch.full((3,), 5.0),), torch.tensor([1.0, 0.75, 0.5, 0.0]), lambda: next(draws))
    assert seen == [([5.0] * 3, 1.0), ([7.75] * 3, 0.75), ([10.5] * 3, 0.5)]
    assert torch.equal(result[0], torch.ones(3))
    assert next(draws, None) is None


def estimate_of(capsys, *options):
    common = [
        "--model", "toon", "--size", "128x128", "--frames", "33", "--batch", "2", "--devices", "1",
        "--precision", "no", "--json",
    ]  # fmt: skip
    assert estimate_command.main([*common, *options]) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_the_estimate_counts_teacher_critic_and_days(capsys):
    lora = estimate_of(capsys, "--stage", "3", "--lora", "both", "--lora-interactions", "--rank", "64")
    consistent = estimate_of(capsys, "--stage", "distill")
    matching = estimate_of(capsys, "--stage", "distill", "--method", "distribution", "--steps", "86400")
    assert lora["without_gradient"] == 0
    assert consistent["activations"] == lora["activations"]  # one pass alone keeps any
    assert consistent["trained"] == lora["trained"]
    assert matching["trained"] == 2 * lora["trained"]
    assert matching["optimizer"] == 2 * lora["optimizer"]
    frozen = lora["weights"] - 4 * lora["trained"]
    assert matching["weights"] - 4 * matching["trained"] == frozen  # one set of weights under all adapters
    assert consistent["operations"] == pytest.approx(lora["operations"] + consistent["without_gradient"])
    assert consistent["without_gradient"] / 3 == pytest.approx(matching["without_gradient"] / (1.5 + 8 / 6))
    assert (consistent["steps"], matching["steps"]) == (6000, 86400)
