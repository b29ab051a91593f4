"""Comparisons between runs, the paper's numbers for them, and the rule for their verdicts.

Source of the published numbers: UniAVGen (arXiv:2511.03334), its ablation tables.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from math import sqrt
from pathlib import Path
from statistics import mean, stdev

from .cells import BASE
from .study_runs import GUIDANCE

LS, TC, EC, IQ = "LS", "TC", "EC", "IQ"
STANDS_FOR = {"sync": LS, "timbre": TC, "emotion": EC, "psnr": IQ}
"""Our measures, and the paper's measures that they replace."""
LOSS = "video_loss"
"""The least noisy measure; its sign is compared with that of the paper's LS."""
FEWEST_SEEDS = 3
ERRORS = 2.0
"""Number of standard errors that a mean difference must exceed."""
SIGNS = {-1: "worse", 1: "better"}


@dataclass(frozen=True)
class Line:
    """One row of a table: a run, the paper's numbers for it, and the kind of guidance if the run sampled several."""

    label: str
    run: str = BASE.name
    paper: Mapping[str, float] = field(default_factory=dict)
    kind: str | None = None


@dataclass(frozen=True)
class Table:
    """One comparison of the paper; every line is compared with the first, the paper's choice."""

    name: str
    title: str
    lines: tuple[Line, ...]
    note: str = ""


def _paper(*values: float) -> dict[str, float]:
    return dict(zip((LS, TC, EC, IQ), values, strict=False))


CHOSEN = _paper(4.09, 0.725, 0.504)
TABLES = (
    Table(
        "interaction",
        "Interaction, audio to video / video to audio",
        (
            Line("ATI/ATI", paper=CHOSEN),
            Line("STI/STI", "sti-sti", _paper(3.73, 0.685, 0.472)),
            Line("SGI/SGI", "sgi-sgi", _paper(3.46, 0.667, 0.459)),
            Line("ATI/STI", "ati-sti"),
            Line("STI/ATI", "sti-ati"),
        ),
    ),
    Table(
        "face_modulation",
        "Face-aware modulation",
        (
            Line("decaying", paper=CHOSEN),
            Line("fixed", "mask-fixed", _paper(4.11, 0.719, 0.497)),
            Line("unsupervised", "mask-unsupervised", _paper(3.92, 0.701, 0.492)),
            Line("none", "mask-absent", _paper(3.89, 0.705, 0.489)),
        ),
        "The mask's loss counts 1, or from 1 to 0 over the run; the paper's 0.1 is for forty times as many steps.",
    ),
    Table(
        "layers",
        "Layers that interact",
        (
            Line("interleaved", paper=_paper(4.09)),
            Line("all", "layers-all", _paper(4.01)),
            Line("first half", "layers-first", _paper(4.02)),
            Line("last half", "layers-last", _paper(3.79)),
        ),
    ),
    Table(
        "position",
        "Position of the interaction",
        (
            Line("before self-attention", paper=_paper(4.09)),
            Line("before cross-attention", "before-cross-attention", _paper(3.98)),
            Line("before feed-forward", "before-ffn", _paper(3.85)),
        ),
        "Before self-attention is behind the layer before, as released.",
    ),
    Table(
        "guidance",
        "Guidance",
        (
            Line("modality-aware, first half, then none", GUIDANCE, _paper(5.95, 0.832, 0.573, 0.779),
                 "first half, then none"),
            Line("none", GUIDANCE, _paper(5.75, 0.821, 0.553, 0.760), "none"),
            Line("text", GUIDANCE, _paper(5.81, 0.824, 0.562, 0.778), "text"),
            Line("modality-aware, always", GUIDANCE, _paper(6.29, 0.841, 0.580, 0.752), "always"),
            Line("modality-aware, first half, then text", GUIDANCE, {}, "first half"),
        ),
        "All sampled from the base cell's models. The last line is what the release does and what the cells are "
        "measured with. See the note on sampling above.",
    ),
    Table(
        "multitask",
        "Joint only against joint, then five tasks",
        (Line("joint only"), Line("joint, then tasks", "then-tasks")),
        "Equal steps; tasks from 60 % of them on, 4:1:1:2:2. Measured on joint generation.",
    ),
)  # fmt: skip


class Results:
    """Finished runs of a folder."""

    def __init__(self, folder: Path) -> None:
        self.runs: dict[str, dict[int, dict]] = {}
        for path in sorted((folder / "runs").glob("*.json")):
            content = json.loads(path.read_text(encoding="utf-8"))
            self.runs.setdefault(content["name"], {})[content["seed"]] = content

    def values(self, line: Line) -> dict[int, dict[str, float]]:
        """Measures of a line by seed; empty without runs."""
        runs = self.runs.get(line.run, {})
        if line.kind is None:
            return {seed: run["values"] for seed, run in runs.items()}
        return {seed: run["kinds"][line.kind] for seed, run in runs.items() if line.kind in run["kinds"]}


def spread(values: Sequence[float]) -> float:
    """Standard deviation; 0 for a single value."""
    return stdev(values) if len(values) > 1 else 0.0


class Verdict(Enum):
    """Outcome of a comparison."""

    REPRODUCED = "reproduced"
    NOT_REPRODUCED = "not reproduced"
    NOISY = "too noisy to say"
    FEW = "too few seeds"


def verdict(differences: Sequence[float], expected: int) -> Verdict:
    """Decide the outcome of a comparison.

    Args:
        differences: Other minus chosen for each seed, positive where the other is better.
        expected: Sign of the paper's difference, -1 or 1.

    Returns:
        ``REPRODUCED`` if all seeds have the paper's sign and the mean exceeds two standard errors, ``NOT_REPRODUCED``
        if they have the opposite sign, ``NOISY`` otherwise; ``FEW`` below three seeds.
    """
    if len(differences) < FEWEST_SEEDS:
        return Verdict.FEW
    sign = found_sign(differences)
    if sign == 0:
        return Verdict.NOISY
    return Verdict.REPRODUCED if sign == expected else Verdict.NOT_REPRODUCED


def found_sign(differences: Sequence[float]) -> int:
    """Sign of a difference if it is the same in all seeds and the mean exceeds two standard errors; otherwise 0."""
    error = spread(differences) / sqrt(len(differences))
    if abs(mean(differences)) <= ERRORS * error or min(differences) * max(differences) <= 0:
        return 0
    return 1 if differences[0] > 0 else -1
