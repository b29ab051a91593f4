"""The comparison of students with their teacher: what each way costs, what is demanded, and what a student leaves."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors import safe_open

from studies.distillation import __main__ as command
from studies.distillation import students as module
from studies.distillation.distillation_report import Found, demands_of, write_report
from studies.distillation.students import PLAN, TASKS, Student, make_student, network_of
from studies.distillation.ways_to_sample import Studio, Way, sampled
from studies.few_steps.cells_of_steps import comfy_samplers, sigmas_of
from tests.training_toys import ToyClips
from toon.evaluation.cases import cases_of
from toon.evaluation.generate_cases import generate
from toon.training.recipe import Recipe
from uniavgen_core.bundled.bundled_files import BUNDLED_MODEL
from uniavgen_core.config import GuidanceConfig
from uniavgen_core.diffusion.sampler import sample_lcm
from uniavgen_core.diffusion.schedule import simple_sigmas
from uniavgen_core.pipeline import SampleConfig
from uniavgen_core.training.distill.distill_config import FEW_STEPS_KEY, Method

GUIDANCE = GuidanceConfig(1.5, 2.0, skip_layer=None)


def options_of(folder, *more):
    return command.parse(["--work", str(folder), "--threads", "1", *more])


@pytest.mark.parametrize("passes", [1, 2, 4, 8])
def test_a_students_noise_levels_are_those_of_comfyuis_scheduler_simple(comfyui, passes):  # noqa: ARG001
    torch.testing.assert_close(sigmas_of("simple", passes), simple_sigmas(passes), rtol=1e-5, atol=1e-6)


def test_consistency_sampling_is_comfyuis_sampler_lcm(comfyui):  # noqa: ARG001
    sigmas, start = simple_sigmas(4), torch.randn(1, 1, 50)
    draws = torch.randn(3, 1, 1, 50)

    def denoise(x, sigma):
        return (x * (1 - sigma)).tanh()

    from comfy.model_sampling import CONST

    class Network:
        inner_model = SimpleNamespace(model_patcher=SimpleNamespace(get_model_object=lambda _: CONST()))

        def __call__(self, x, sigma, **_):
            return denoise(x, float(sigma[0]))

    theirs, ours = iter(draws), iter(draws)
    solve = comfy_samplers().sampler_object("lcm").sampler_function
    want = solve(Network(), start, sigmas, disable=True, noise_sampler=lambda *_: next(theirs))
    (got,) = sample_lcm(lambda x, sigma: (denoise(x[0], sigma),), (start,), sigmas, lambda: (next(ours),))
    torch.testing.assert_close(got, want)


def test_ways_are_charged_for_their_null_passes_and_students_for_none(tmp_path):
    students = command.students_of(options_of(tmp_path, "--passes", "4", "1"))
    ways = command.ways_of(students)
    assert {way.name: way.passes for way in ways} == {
        "teacher 50, guided": 100, "teacher 4": 4, "teacher 1": 1, "consistency 4": 4, "consistency 1": 1,
        "distribution 4": 4, "distribution 1": 1,
    }  # fmt: skip
    assert [way.sampler for way in ways[-4:]] == ["euler", "euler", "lcm", "lcm"]
    assert len({student.lora for student in students}) == 4


def test_a_teacher_without_guidance_takes_one_pass_a_step(tmp_path):
    students = command.students_of(options_of(tmp_path, "--video-guidance", "1", "--audio-guidance", "1"))
    assert (command.ways_of(students)[0].name, command.ways_of(students)[0].passes) == ("teacher 50", 50)


def test_students_start_from_those_of_more_passes_and_of_consistency_and_take_their_own_number_of_steps(tmp_path):
    options = options_of(tmp_path, "--passes", "1", "4", "2", "--steps", "30", "--further-steps", "9")
    students = command.students_of(options)
    names = {student.lora: student.name for student in students}
    assert [(one.name, names.get(one.start), one.steps) for one in students] == [
        ("consistency 4", None, 30), ("consistency 2", "consistency 4", 9), ("consistency 1", "consistency 2", 9),
        ("distribution 4", "consistency 4", 9), ("distribution 2", "consistency 2", 9),
        ("distribution 1", "consistency 1", 9),
    ]  # fmt: skip
    options = options_of(tmp_path, "--passes", "2", "4", "--methods", "distribution", "--steps", "30")
    assert [(one.start is None, one.steps) for one in command.students_of(options)] == [(True, 30), (False, 30)]


def test_clips_of_a_bundles_run_are_used_where_they_are_and_students_lie_in_the_studys_folder(tmp_path):
    (student, *_) = command.students_of(options_of(tmp_path / "study", "--material", str(tmp_path / "bundle")))
    assert student.recipe.task_plans == Recipe(tmp_path / "bundle").task_plans
    assert student.run.home.parent == tmp_path / "study"
    some = command.recipe_of(options_of(tmp_path, "--material", str(tmp_path / "bundle"), "--scenes", "500"))
    assert some.task_plans == Recipe(tmp_path / "bundle", scenes=500).task_plans
    lively = command.recipe_of(options_of(tmp_path, "--world", "lively", "--scenes", "100"))
    assert len(lively.task_plans["scenes"]) == 5
    assert sum(plan.count for plan in lively.task_plans["scenes"]) == pytest.approx(100, abs=3)


def test_the_null_passes_of_the_teacher_leave_out_the_layer_that_is_named(tmp_path):
    (student, *_) = command.students_of(options_of(tmp_path, "--skip-layer", "3"))
    assert student.config.guidance_plan.config.skip_layer == 3
    assert command.ways_of([student])[0].guidance.skip_layer == 3
    (student, *_) = command.students_of(options_of(tmp_path))
    assert student.config.guidance.skip_layer is None


def test_a_layer_that_the_network_does_not_have_is_refused_before_the_work_starts(tmp_path, capsys):
    with pytest.raises(SystemExit):
        options_of(tmp_path, "--skip-layer", "6")
    assert "choose from 0, 1, 2, 3, 4, 5" in capsys.readouterr().err


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    """A student of two passes after two steps on clips of noise."""
    from accelerate.state import AcceleratorState

    folder = tmp_path_factory.mktemp("students")
    recipe = Recipe(folder, batch=2, threads=1, shipped=BUNDLED_MODEL)
    made = Student(Method.DISTRIBUTION, 2, GUIDANCE, 2, recipe, folder)
    AcceleratorState._reset_state(True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "TaskClips", lambda *_: ToyClips())
        patch.setattr(module, "launch", lambda work, task, *_: work(task))
        patch.setattr(Student, "config", property(lambda self: replace(config_of(self), critic_steps=1)))
        make_student(made)
    AcceleratorState._reset_state(True)
    return made


def config_of(student, original=Student.config):
    return original.fget(student)


def test_a_students_file_holds_its_adapters_and_how_to_sample_them(student):
    with safe_open(student.lora, "pt") as file:
        told = json.loads(file.metadata()[FEW_STEPS_KEY])
        layers = {name.split(".")[1] for name in file.keys()}  # noqa: SIM118 - not a mapping
        rank = file.get_tensor("diffusion_model.blocks.0.self_attn.q.lora_A.weight").shape[0]
    assert (told["method"], told["passes"], told["sampler"]) == ("distribution", 2, "lcm")
    assert layers == {"blocks", "audio_blocks", "a2v_blocks", "v2a_blocks"}
    assert rank == PLAN.rank


def test_a_student_samples_with_its_adapters_and_the_teacher_without(student, tmp_path):
    studio, way = Studio(BUNDLED_MODEL, tmp_path, 0), Way.of_student(student)
    network, teacher = studio.network(way), studio.network(Way.of_few_passes(2))
    assert all(
        torch.equal(x, y) for x, y in zip(teacher.parameters(), network_of(student.recipe).parameters(), strict=True)
    )
    cases = cases_of("joint", 2, 1)
    both = sampled(network, studio.codec, cases, way)
    alone = sampled(network, studio.codec, cases[1:], way, first=1)
    torch.testing.assert_close(both[0][1:], alone[0], rtol=1e-3, atol=1e-4)  # a clip's noise is its own
    other = sampled(teacher, studio.codec, cases, replace(way, lora=None))
    assert (both[0] - other[0]).abs().max() > 1e-4
    assert torch.equal(both[0][:, :, :1], other[0][:, :, :1])


def test_the_guided_teacher_samples_as_the_evaluation_does(tmp_path):
    way = Way("few", tuple(SampleConfig(3).sigmas.tolist()), GUIDANCE)
    studio, cases = Studio(BUNDLED_MODEL, tmp_path, 0), cases_of("dubbing", 1, 1)
    network = studio.network(way)
    want = generate(network, studio.codec, cases, SampleConfig(3, guidance=GUIDANCE))
    for got, expected in zip(sampled(network, studio.codec, cases, way), want, strict=True):
        torch.testing.assert_close(got, expected)
    made = studio.made(way, {"dubbing": cases}, lambda _: None)
    assert len(made["dubbing"]) == 1
    (path,) = tmp_path.rglob("*.safetensors")
    written = path.stat().st_mtime_ns
    studio.made(way, {"dubbing": cases}, lambda _: None)
    assert path.stat().st_mtime_ns == written


JOINT = {"corr": 0.8, "words": 0.9, "broken": 0.02, "sharpness": 0.8}
TEACHER = Found("teacher", 100, 10.0, {"joint": JOINT}, {"spread, head": 1.0, "distance, head": 2.0})


@pytest.mark.parametrize(
    ("values", "chance", "seconds", "failed"),
    [
        ({}, {}, 1.0, set()),
        ({"corr": 0.77}, {}, 1.0, {"corr"}),
        ({"corr": 0.78, "words": 0.88, "broken": 0.0299, "sharpness": 0.761}, {}, 1.19, set()),
        ({"broken": 0.031}, {}, 1.0, {"broken"}),
        ({"sharpness": 0.7}, {}, 1.0, {"sharpness"}),
        ({}, {"spread, head": 0.88, "distance, head": 2.29}, 1.0, set()),
        ({}, {"spread, head": 0.86}, 1.0, {"spread, head"}),
        ({}, {"distance, head": 2.31}, 1.0, {"distance, head"}),
        ({}, {}, 1.21, {"seconds"}),
    ],
)
def test_a_student_is_held_to_its_teacher(values, chance, seconds, failed):
    student = Found("student", 4, seconds, {"joint": JOINT | values}, {**TEACHER.chance, **chance})
    found = [demand.name for demand in demands_of(student, TEACHER) if not demand.passed]
    assert len(found) == len(failed)
    assert all(any(name in each for each in found) for name in failed)


def test_the_report_has_a_row_for_each_way_and_the_students_demands(tmp_path):
    student = replace(TEACHER, name="consistency 4", passes=4, seconds=0.5)
    content = write_report([TEACHER, student], ["consistency 4"], {"steps": 3}, tmp_path)
    text = Path(tmp_path / "distillation.md").read_text()
    assert "| teacher | 100 | 10.000 | 1.000 | 2.000 | 0.800 |" in text
    assert "| consistency 4 | 4 | 0.500 |" in text
    assert list(content["demands"]) == ["consistency 4"]
    assert "FAIL" not in text
    assert json.loads((tmp_path / "distillation.json").read_text())["settings"] == {"steps": 3}


def test_a_command_that_cannot_be_meant_is_refused(tmp_path, capsys):
    for more in (["--steps", "0"], ["--passes", "0"], ["--methods", "magic"]):
        with pytest.raises(SystemExit):
            options_of(tmp_path, *more)
    assert capsys.readouterr().err
    assert not TASKS.interaction_off
