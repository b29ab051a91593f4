"""Acceptance criteria of the bundled model: measured value, bound, and whether it is met."""

from collections.abc import Mapping
from dataclasses import dataclass

from uniavgen_core.tasks import DUBBING, JOINT, REFERENCE_VOICE

from ..clips import STEADY, World
from .chance_features import GROUPS
from .distribution import GENERATED
from .measures import Row

TRUTH = "ground truth"


@dataclass(frozen=True)
class Criterion:
    """One acceptance criterion.

    Attributes:
        name: Description.
        value: Measured value.
        bound: Smallest value that passes.
        clips: Number of measured clips.
    """

    name: str
    value: float
    bound: float
    clips: int

    @property
    def passed(self) -> bool:
        """True if the bound is met."""
        return self.value >= self.bound


def criteria_of(rows: Mapping[str, Row], world: World = STEADY) -> list[Criterion]:
    """Evaluate the criteria on rows by task, with ground truth under ``TRUTH``; one without its rows is skipped."""
    found = []
    joint, truth = rows.get(JOINT.name), rows.get(TRUTH)
    if joint and truth:
        share = joint.values["corr"] / truth.values["corr"]
        found.append(Criterion("sync: correlation as a share of the truth's, joint", share, 0.8, joint.clips))
    demands = (
        (JOINT.name, "in_time", 0.95, "sync: best lag within one frame, joint"),
        (JOINT.name, "words", 0.85, "speech: words right, joint"),
        (DUBBING.name, "words", 0.9, "speech: words right, dubbing"),
        (REFERENCE_VOICE.name, "voice", 0.8, "voice: reference voice identified of 8"),
        (JOINT.name, "psnr_background", 28.0, "picture: PSNR of the background, dB, joint")
        if world.lively
        else (JOINT.name, "psnr", 28.0, "picture: PSNR outside mouth and eyes, dB, joint"),
        (JOINT.name, "whole", 0.98, "picture: frames whose eyes and mouth are not broken, joint"),
        (JOINT.name, "sharpness", 0.6, "picture: fine detail as a share of the truth's, joint"),
        (JOINT.name, "emotion_sound", 0.75, "emotion: recognised from the sound, joint"),
        (JOINT.name, "emotion_face", 0.75, "emotion: recognised from the face, joint"),
    )
    for task, measure, bound, name in demands:
        row = rows.get(task)
        values = dict(row.values) if row else {}
        if "broken" in values:
            values["whole"] = 1 - values["broken"]
        if row and measure in values:
            found.append(Criterion(name, values[measure], bound, row.clips))
    return found


def criteria_of_chance(rows: Mapping[str, Mapping[str, float]], clips: int) -> list[Criterion]:
    """Evaluate the criterion of spread between seeds on the rows of ``distribution.compare``, if there are any."""
    return [
        Criterion(f"chance: spread of {name} between seeds, as a share of the truth's", value, 0.7, clips)
        for name in GROUPS
        if (value := rows.get(GENERATED, {}).get(f"spread, {name}")) is not None
    ]
