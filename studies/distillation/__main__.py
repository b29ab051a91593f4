"""Train few-step students of the bundled model, and compare them with it on held-out toons: ``python dev.py distill``.

Clips, checkpoints, judges and finished samples are kept in the work folder, so that an interrupted run goes on with the
same command. The teacher's 50 guided steps, the teacher in few passes and every student are in one table.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from toon import LAYERS
from toon.evaluation.bundle_report import REPEATED, WORLDS, ToonOptions, measure_chance
from toon.evaluation.cases import Case
from toon.evaluation.distribution import GENERATED
from toon.evaluation.judges import JudgeRecipe, Judges, judges_of
from toon.evaluation.measures import measure_cases
from toon.training.recipe import Recipe
from uniavgen_core.bundled.bundled_files import BUNDLED_MODEL
from uniavgen_core.config import GuidanceConfig
from uniavgen_core.evaluation.__main__ import tell
from uniavgen_core.tasks import JOINT, PAPER_TASKS
from uniavgen_core.training.distill.distill_config import Method
from uniavgen_core.training.launch import INTERRUPTED, Stopped

from .distillation_report import Found, write_report
from .students import Student, make_students, successive
from .ways_to_sample import Studio, Way

WORK = Path("output/distillation")
SCENES, REPEATS = 3000, 5
SETTINGS = (
    "world", "steps", "further_steps", "batch", "count", "others", "takes", "video_guidance", "audio_guidance",
    "skip_layer", "seed",
)  # fmt: skip
"""Options that the report names."""


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="dev.py distill", description=__doc__)
    add = parser.add_argument
    add("--model", type=Path, default=BUNDLED_MODEL, help="the teacher; a codec in the same folder is used")
    add("--world", choices=WORLDS, default="steady", help="world of the teacher's toons")
    add("--work", type=Path, default=WORK, help="folder for clips, checkpoints, judges, samples and the report")
    add("--material", type=Path, help="work folder of dev.py bundle whose clips are used; by default they are made")
    add(
        "--scenes", type=int, help=f"clips to train on; by default {SCENES}, with --material those of a bundle's recipe"
    )
    add("--steps", type=int, default=3000, help="steps of each student; of distribution matching, its critic's too")
    add("--further-steps", type=int, help="steps of students that start from an earlier one; by default as many")
    add("--batch", type=int, default=16, help="clips in a step")
    add("--methods", nargs="+", choices=[method.value for method in Method], default=[m.value for m in Method])
    add("--passes", type=int, nargs="+", default=[4, 2, 1], help="passes of the students; each is one of its own")
    add("--video-guidance", type=float, default=1.5, help="the teacher's scale of the picture")
    add("--audio-guidance", type=float, default=2.0, help="the teacher's scale of the sound")
    add("--skip-layer", type=int, choices=LAYERS, help="layer that the teacher's null passes leave out")
    add("--count", type=int, default=200, help="held-out clips of joint generation, a reference voice and dubbing each")
    add("--others", type=int, default=100, help="held-out clips of each other task")
    add("--takes", type=int, default=24, help="lively cases that are generated several times each")
    add("--seed", type=int, default=0, help="seed of training and of the held-out toons")
    add("--threads", type=int, default=2, help="CPU threads, and processes that make clips")
    add("--judges", type=float, default=1.0, help="multiplies the judges' training, for a rehearsal")
    add("--gpu", action="store_true", help="train on the GPU instead of the CPU")
    add("--json", action="store_true", help="print one JSON object as the last line")
    options = parser.parse_args(arguments)
    scenes = SCENES if options.scenes is None else options.scenes
    further = options.steps if options.further_steps is None else options.further_steps
    if min(options.steps, further, options.batch, scenes, options.threads, *options.passes) < 1:
        parser.error("steps, batch, scenes, threads and passes must be at least 1")
    return options


def recipe_of(options: argparse.Namespace) -> Recipe:
    """Clips and teacher of the students; clips of a bundle's run are those of its recipe."""
    recipe = Recipe(
        options.work, options.seed, batch=options.batch, workers=options.threads, threads=options.threads,
        processes=1 if options.gpu else min(2, options.threads), accelerated=options.gpu, shipped=options.model,
        lively=options.world == "lively",
    )  # fmt: skip
    if options.material is not None:
        return replace(recipe, work=options.material, scenes=options.scenes or recipe.scenes)
    scenes = options.scenes or SCENES
    # Reference voices are needed in every voice, emotion and length.
    return replace(recipe, scenes=scenes, pairs=max(24, scenes // 15), voices=max(480, scenes // 2))


def students_of(options: argparse.Namespace) -> list[Student]:
    """One student for each method and number of passes, each starting from an earlier one where there is one."""
    guidance = GuidanceConfig(options.video_guidance, options.audio_guidance, skip_layer=options.skip_layer)
    recipe = recipe_of(options)
    students = [
        Student(Method(method), passes, guidance, options.steps, recipe, options.work)
        for method in options.methods
        for passes in options.passes
    ]
    return successive(students, options.further_steps or options.steps)


def ways_of(students: Sequence[Student]) -> list[Way]:
    """The guided teacher first, the teacher in few passes, and the students."""
    few = sorted({student.passes for student in students}, reverse=True)
    teacher = Way.of_teacher(students[0].guidance)
    return [teacher, *map(Way.of_few_passes, few), *map(Way.of_student, students)]


def compare(options: argparse.Namespace, students: Sequence[Student]) -> dict:
    """Generate held-out clips in all ways, measure them and write the report; returns its content."""
    judges = judges_of(options.work / "judges", JudgeRecipe().scaled(options.judges), tell)
    toons = ToonOptions(
        options.work, options.model, options.count, options.others, options.seed,
        tasks=[task.name for task in PAPER_TASKS], world=options.world, takes=options.takes,
    )  # fmt: skip
    tell("Drawing the held-out toons")
    cases, repeated = toons.cases(), toons.repeated()
    cases |= {REPEATED: repeated} if repeated else {}
    studio = Studio(options.model, options.work / "generated", options.seed)
    ways = ways_of(students)
    found = [measured(studio, way, cases, judges) for way in ways]
    tell("Timing")
    found = [
        replace(one, seconds=studio.seconds(way, cases[JOINT.name][0], REPEATS))
        for one, way in zip(found, ways, strict=True)
    ]
    settings = {"model": options.model.name} | {name: getattr(options, name) for name in SETTINGS}
    return write_report(found, [student.name for student in students], settings, options.work)


def measured(studio: Studio, way: Way, cases: dict[str, list[Case]], judges: Judges) -> Found:
    """Measure one way to sample; its time is measured later, with that of all others."""
    made = studio.made(way, cases, tell)
    takes = made.pop(REPEATED, None)
    chance = {} if takes is None else measure_chance(takes, cases[REPEATED], judges, studio.codec)[GENERATED]
    rows = {task: measure_cases(task, clips, cases[task], judges).values for task, clips in made.items()}
    return Found(way.name, way.passes, 0.0, rows, chance)


def main(arguments: list[str]) -> int:
    """Train and compare.

    Returns:
        0, 2 for bad input, or 130 if stopped.
    """
    options = parse(arguments)
    options.work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(options.threads)
    try:
        students = students_of(options)
        make_students(students)
        content = compare(options, students)
    except Stopped:
        tell("Stopped. The same command goes on from here.")
        return INTERRUPTED
    except (OSError, ValueError) as error:
        tell(f"Error: {error}")
        return 2
    report = options.work / "distillation.md"
    print(json.dumps(content) if options.json else report.read_text(encoding="utf-8"))  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
