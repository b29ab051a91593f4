"""The table of a distillation, and what is demanded of a student, each against the guided teacher."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from toon.evaluation.distribution import COLUMNS
from toon.evaluation.measures import MEASURES
from uniavgen_core.evaluation.markdown_tables import legend, markdown_table
from uniavgen_core.tasks import AUDIO_DRIVEN, CONTINUATION, DUBBING, JOINT, REFERENCE_VOICE

SHOWN = {
    JOINT.name: ("corr", "in_time", "words", "broken", "sharpness", "emotion_sound", "emotion_face"),
    REFERENCE_VOICE.name: ("voice", "words", "broken"),
    DUBBING.name: ("words", "in_time"),
    AUDIO_DRIVEN.name: ("corr", "broken", "sharpness"),
    CONTINUATION.name: ("corr", "words"),
}
"""Measures of each task in the table."""
LEAST = {
    (JOINT.name, "corr"): 0.97, (JOINT.name, "words"): 0.97, (REFERENCE_VOICE.name, "voice"): 0.95,
    (JOINT.name, "sharpness"): 0.95, (DUBBING.name, "words"): 0.97, (AUDIO_DRIVEN.name, "corr"): 0.97,
    (CONTINUATION.name, "corr"): 0.97, (CONTINUATION.name, "words"): 0.97,
}  # fmt: skip
"""Least share of the teacher's."""
MORE_BROKEN = 0.01
"""Most that broken frames may be more than the teacher's."""
CHANCE = 1.15
"""Most by which a distance to the truth may be larger, and a spread between seeds smaller, than the teacher's."""
LONGEST = 0.12
"""Largest share of the teacher's time."""


@dataclass(frozen=True)
class Found:
    """Measurements of one way to sample.

    Attributes:
        name: Name of the way.
        passes: Passes of the network for one clip.
        seconds: Seconds of sampling a clip.
        values: Measures by task.
        chance: Spread between seeds and distance to the truth; empty in the steady world.
    """

    name: str
    passes: int
    seconds: float
    values: Mapping[str, Mapping[str, float]]
    chance: Mapping[str, float]


@dataclass(frozen=True)
class Demand:
    """One demand on a student.

    Attributes:
        name: What is compared.
        value: Measured value of the student.
        bound: Bound from the teacher's value.
        passed: Whether it is met.
    """

    name: str
    value: float
    bound: float
    passed: bool


def demands_of(student: Found, teacher: Found) -> list[Demand]:
    """Compare a student with its teacher; measures that were not taken are left out."""
    found = []
    for (task, measure), share in LEAST.items():
        if measure in student.values.get(task, {}):
            bound = share * teacher.values[task][measure]
            name = f"{task}: {measure}, at least {share:g} of the teacher's"
            found.append(_at_least(name, student.values[task][measure], bound))
    for task, values in student.values.items():
        if "broken" in values:
            bound = teacher.values[task]["broken"] + MORE_BROKEN
            found.append(_at_most(f"{task}: broken, at most {MORE_BROKEN:g} more", values["broken"], bound))
    for column, value in student.chance.items():
        name, own = f"{column}, within {CHANCE:g} times the teacher's", teacher.chance[column]
        spread = column.startswith("spread")
        found.append(_at_least(name, value, own / CHANCE) if spread else _at_most(name, value, own * CHANCE))
    name = f"seconds of a clip, at most {LONGEST:g} of the teacher's"
    return [*found, _at_most(name, student.seconds, LONGEST * teacher.seconds)]


def _at_least(name: str, value: float, bound: float) -> Demand:
    return Demand(name, value, bound, value >= bound)


def _at_most(name: str, value: float, bound: float) -> Demand:
    return Demand(name, value, bound, value <= bound)


def write_report(found: Sequence[Found], students: Sequence[str], settings: Mapping[str, Any], folder: Path) -> dict:
    """Write Markdown and JSON, and return the content.

    Args:
        found: The guided teacher, and all that is compared with it.
        students: Names of the students among these.
        settings: Settings of the run.
        folder: Where the report is written.
    """
    demands = {way.name: demands_of(way, found[0]) for way in found if way.name in students}
    content = {
        "settings": dict(settings),
        "ways": [asdict(way) for way in found],
        "demands": {name: [asdict(one) for one in some] for name, some in demands.items()},
    }
    (folder / "distillation.md").write_text(markdown(found, demands, settings), encoding="utf-8")
    (folder / "distillation.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return content


def markdown(found: Sequence[Found], demands: Mapping[str, Sequence[Demand]], settings: Mapping[str, Any]) -> str:
    """Format the report as Markdown."""
    columns = [(task, name) for task, names in SHOWN.items() for name in names]
    taken = [column for column in COLUMNS if any(column in way.chance for way in found)]
    head = ["", "passes", "seconds", *taken, *(f"{task}: {name}" for task, name in columns)]
    rows = [
        [way.name, way.passes, way.seconds, *(way.chance.get(column) for column in taken)]
        + [way.values.get(task, {}).get(name) for task, name in columns]
        for way in found
    ]
    parts = [
        "# Few-step students\n",
        ", ".join(f"{name} {value}" for name, value in settings.items()) + "\n",
        "Passes are those of the network for one clip, null passes included; seconds are those of sampling it, all "
        "measured in one run. Teachers of few passes sample at the students' noise levels, without guidance.\n",
        markdown_table(head, rows),
        legend({name: MEASURES[name] for name in dict.fromkeys(name for _, name in columns)}),
        legend({column: COLUMNS[column] for column in taken}) if taken else "",
    ]
    for name, some in demands.items():
        table = [[one.name, one.value, one.bound, "pass" if one.passed else "FAIL"] for one in some]
        parts += [f"## {name}\n", markdown_table(["", "measured", "bound", ""], table)]
    return "\n".join(parts)
