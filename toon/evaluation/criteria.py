"""Acceptance criteria of the bundled model: measured value, bound, and whether it is met."""

from collections.abc import Mapping
from dataclasses import dataclass

from uniavgen_core.tasks import DUBBING, JOINT, REFERENCE_VOICE

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
        """Whether the bound is met."""
        return self.value >= self.bound


def criteria_of(rows: Mapping[str, Row]) -> list[Criterion]:
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
        (JOINT.name, "psnr", 28.0, "picture: PSNR outside mouth and eyes, dB, joint"),
        (JOINT.name, "emotion_sound", 0.75, "emotion: recognised from the sound, joint"),
        (JOINT.name, "emotion_face", 0.75, "emotion: recognised from the face, joint"),
    )
    for task, measure, bound, name in demands:
        row = rows.get(task)
        if row and measure in row.values:
            found.append(Criterion(name, row.values[measure], bound, row.clips))
    return found
