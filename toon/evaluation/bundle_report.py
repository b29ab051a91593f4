"""Evaluation of the bundled model on held-out toons, compared with ground truth and shuffled pairs."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from uniavgen_core.bundled.bundled_files import BUNDLED_MODEL, BUNDLED_VIDEO_CODEC, CODEC_FILE, load_codec
from uniavgen_core.bundled.video_codec import VideoCodec
from uniavgen_core.checkpoint.load_weights import load_model
from uniavgen_core.config import AfterShare, GuidanceConfig
from uniavgen_core.diffusion.sampling_presets import TOON_GUIDANCE, TOON_STEPS
from uniavgen_core.evaluation.bar_plots import draw_bars, draw_lags, new_figure
from uniavgen_core.evaluation.markdown_tables import legend, markdown_table, published
from uniavgen_core.pipeline import SampleConfig
from uniavgen_core.tasks import AUDIO_DRIVEN, CONTINUATION, DUBBING, JOINT, REFERENCE_VOICE

from ..clips import LIVELY, STEADY
from .cases import CONTINUATION_IN_VOICE, PAIR, Case, cases_of
from .criteria import TRUTH, Criterion, criteria_of, criteria_of_chance
from .distribution import COLUMNS, Takes, compare
from .generate_cases import Made, Store, coded, generate_all
from .judges import JudgeRecipe, Judges, judges_of
from .measures import MEASURES, Row, measure_cases, shuffled
from .picture_errors import MOST_DB
from .relip_cases import RELIP_CASES, relip_cases

EVALUATION_SEED, SEEDS_APART = 10_000_000, 100_000
CRITERIA_TASKS = (JOINT.name, REFERENCE_VOICE.name, DUBBING.name)
OTHER_TASKS = (AUDIO_DRIVEN.name, CONTINUATION.name, CONTINUATION_IN_VOICE, PAIR, *RELIP_CASES)
TRUTH_OF = {
    JOINT.name: TRUTH,
    CONTINUATION.name: f"{TRUTH}, {CONTINUATION.name}",
    CONTINUATION_IN_VOICE: f"{TRUTH}, {CONTINUATION.name}",
    PAIR: f"{TRUTH}, {PAIR}",
}
WORLDS = {"steady": STEADY, "lively": LIVELY}
TAKES, TRUE_TAKES, REPEATED = 4, 8, "takes"
_SHEET_ROWS, _SHEET_EVERY = 10, 4


@dataclass(frozen=True)
class ToonOptions:
    """Options of an evaluation.

    Attributes:
        work: Folder for judges, generated latents and the report.
        model: Weights of the network.
        count: Clips of each task with a criterion.
        others: Clips of each other task.
        seed: Seed of the held-out toons.
        steps: Euler steps.
        video_guidance: Guidance scale of the picture.
        audio_guidance: Guidance scale of the sound.
        skip_layer: Layer left out of null passes, or None.
        modality_aware_share: Share of the steps, from the start, whose null pass runs with the interactions off.
        after_share: Guidance of the steps after that share.
        tasks: Names of the tasks.
        world: Name of the toons' world, one of ``WORLDS``.
        takes: In the lively world, cases that are generated several times under the same conditions.
    """

    work: Path
    model: Path = BUNDLED_MODEL
    count: int = 200
    others: int = 100
    seed: int = 0
    steps: int = TOON_STEPS
    video_guidance: float = TOON_GUIDANCE.video_scale
    audio_guidance: float = TOON_GUIDANCE.audio_scale
    skip_layer: int | None = TOON_GUIDANCE.skip_layer
    modality_aware_share: float = TOON_GUIDANCE.modality_aware_share
    after_share: AfterShare = TOON_GUIDANCE.after_share
    tasks: Sequence[str] = CRITERIA_TASKS + OTHER_TASKS
    world: str = "steady"
    takes: int = 24

    def __post_init__(self) -> None:
        if min(self.count, self.others, self.steps) < 1 or self.seed < 0:
            raise ValueError("Counts and steps must be at least 1, the seed at least 0.")

    @property
    def guidance(self) -> GuidanceConfig:
        """Guidance of all clips."""
        return GuidanceConfig(
            self.video_guidance, self.audio_guidance, self.modality_aware_share, self.after_share, self.skip_layer
        )

    def cases(self) -> dict[str, list[Case]]:
        """Held-out cases by task."""
        counts = {task: self.count if task in CRITERIA_TASKS else self.others for task in self.tasks}
        return {
            task: (relip_cases if task in RELIP_CASES else cases_of)(task, count, self.first_seed, WORLDS[self.world])
            for task, count in counts.items()
        }

    @property
    def first_seed(self) -> int:
        """First seed of the held-out toons."""
        return EVALUATION_SEED + SEEDS_APART * self.seed

    def repeated(self) -> list[Case]:
        """Cases to generate several times, each ``TAKES`` times in a row; none in the steady world."""
        if self.world != "lively":
            return []
        cases = cases_of(JOINT.name, self.takes, self.first_seed + SEEDS_APART // 2, WORLDS[self.world])
        return [case for case in cases for _ in range(TAKES)]


def evaluate_toons(
    options: ToonOptions, recipe: JudgeRecipe, tell: Callable[[str], None], on_batch: Callable[[str, int], None]
) -> dict:
    """Generate, measure and write the report.

    Args:
        options: Options of the evaluation.
        recipe: Training recipe of the judges.
        tell: Called with a line of progress before each long step.
        on_batch: Called after each batch with its task and the number of its clips.

    Returns:
        Content of the report, with the written ``files``.
    """
    new_figure(1, 1)  # A missing package must fail before hours of work.
    started = time.monotonic()
    judges = judges_of(options.work / "judges", recipe, tell)
    config, codec_path = SampleConfig(options.steps, guidance=options.guidance), codec_beside(options.model)
    store = Store.of(options.work / "generated", [options.model, codec_path], config, options.seed)
    codec = load_codec(codec_path)
    tell("Drawing the held-out toons")
    cases, repeated = options.cases(), options.repeated()
    model = load_model(options.model, dtype=torch.float32)
    made = generate_all((model, codec), cases, config, store, on_batch)
    takes = generate_all((model, codec), {REPEATED: repeated}, config, store)[REPEATED]
    tell("Measuring")
    rows = measure_all(made, cases, judges, codec)
    chance = measure_chance(takes, repeated, judges, codec) if repeated else {}
    sheets = [_sheet(made[task], options.work / f"sheet-{task.replace(', ', '-')}.png") for task in made]
    minutes = (time.monotonic() - started) / 60
    criteria = [*criteria_of(rows, WORLDS[options.world]), *criteria_of_chance(chance, len(repeated))]
    return _report(options, (rows, criteria, judges.accuracy, chance), sheets, minutes)


def measure_chance(
    made: Sequence[Made], cases: Sequence[Case], judges: Judges, codec: VideoCodec
) -> dict[str, dict[str, float]]:
    """Compare cases that were generated ``TAKES`` times with as many true takes; rows of the table of chance."""
    firsts = range(0, len(cases), TAKES)
    takes = [Takes.of(cases[first], TRUE_TAKES) for first in firsts]
    return compare([made[first : first + TAKES] for first in firsts], takes, judges, codec)


def codec_beside(model: Path) -> Path:
    """Path of a model's video codec: the one in its folder, or the bundled one if there is none."""
    beside = model.parent / CODEC_FILE
    return beside if beside.exists() else BUNDLED_VIDEO_CODEC


def measure_all(
    made: dict[str, list[Made]], cases: dict[str, list[Case]], judges: Judges, codec: VideoCodec
) -> dict[str, Row]:
    """Measure every task, ground truth, ground truth through the codec, and shuffled pairs; rows by name."""
    rows: dict[str, Row] = {}
    for task, name in TRUTH_OF.items():
        if task in cases and name not in rows:
            true = [Made.of(case.frames, case.waveform) for case in cases[task]]
            rows[name] = measure_cases(name, true, cases[task], judges)
            if task == JOINT.name:
                through = [coded(codec, case) for case in cases[task]]
                rows[f"{name}, coded"] = measure_cases(f"{name}, coded", through, cases[task], judges)
                rows[f"{name}, shuffled"] = measure_cases(f"{name}, shuffled", shuffled(true), cases[task], judges)
    for task, clips in made.items():
        rows[task] = measure_cases(task, clips, cases[task], judges)
    if JOINT.name in made:
        name = f"{JOINT.name}, shuffled"
        rows[name] = measure_cases(name, shuffled(made[JOINT.name]), cases[JOINT.name], judges)
    return rows


def _sheet(made: Sequence[Made], path: Path) -> Path:
    """Write a contact sheet of the first clips, one row each."""
    rows = [np.concatenate(list(clip.frames[::_SHEET_EVERY]), 1) for clip in made[:_SHEET_ROWS]]
    Image.fromarray(np.concatenate(rows)).save(path)
    return path


def _report(
    options: ToonOptions,
    found: tuple[dict[str, Row], list[Criterion], dict[str, float], dict[str, dict[str, float]]],
    sheets: list[Path],
    minutes: float,
) -> dict:
    """Write Markdown, JSON and plots, and return the content."""
    rows, criteria, accuracy, chance = found
    plain = {"after_share": options.after_share.value, "tasks": list(options.tasks)}
    settings = asdict(options) | {"work": None, "model": options.model.name} | plain
    files = {"table": options.work / "toons.md", "json": options.work / "toons.json"}
    plots = {"bars": options.work / "toons-bars.png", "lags": options.work / "toons-lags.png"}
    bounds = {"in_time": 0.95, "psnr": 28.0}
    bars = [(name, {key: v for key, v in row.values.items() if v < MOST_DB}) for name, row in rows.items()]
    draw_bars(bars, list(MEASURES), plots["bars"], bounds)
    draw_lags({name: row.lags for name, row in rows.items()}, "frames", plots["lags"])
    content = {
        "settings": {name: value for name, value in settings.items() if value is not None},
        "minutes": round(minutes, 1),
        "criteria": [asdict(one) | {"passed": one.passed} for one in criteria],
        "judges": accuracy,
        "rows": {name: asdict(row) for name, row in rows.items()},
        "chance": chance,
        "files": {name: str(path) for name, path in (files | plots).items()} | {"sheets": [str(p) for p in sheets]},
    }
    files["table"].write_text(_markdown(content, criteria), encoding="utf-8")
    files["json"].write_text(json.dumps(content, indent=1), encoding="utf-8")
    return content


def _markdown(content: dict, criteria: Sequence[Criterion]) -> str:
    """Format the report as Markdown."""
    rows = content["rows"]
    demands = [[c.name, c.value, c.bound, "pass" if c.passed else "FAIL", c.clips] for c in criteria]
    table = [[name, row["clips"], *(row["values"].get(measure) for measure in MEASURES)] for name, row in rows.items()]
    movements = sorted({name for row in rows.values() for name in row["movements"]})
    moving = [[n, *(row["movements"].get(m) for m in movements)] for n, row in rows.items() if row["movements"]]
    taken = [[name, *(row[column] for column in COLUMNS)] for name, row in content["chance"].items()]
    judged = [[name, right] for name, right in content["judges"].items()]
    return "\n".join(
        [
            "# Held-out toons\n",
            ", ".join(f"{name} {value}" for name, value in content["settings"].items()) + "\n",
            "## Criteria\n",
            markdown_table(["", "measured", "at least", "", "clips"], demands),
            "## All measures\n",
            markdown_table(["", "clips", *MEASURES], table),
            legend(MEASURES),
            "Sound that is kept counts for the mouth alone. `psnr` leaves out the first frame; continuations, of which "
            "more is given, have none. Shuffled rows have the sound of the next clip. Looks tell only a male from a "
            "female voice, so `voice` is a demand only where a reference voice is given.\n",
            *_table("Picture by movement of the head: `psnr`, dB", ["", *movements], moving),
            *_table("What chance decides", ["", *COLUMNS], taken),
            *([legend(COLUMNS)] if taken else []),
            "## The judges on held-out truth\n",
            "Trained on other toons of the same generator; their own errors bound what they can say.\n",
            markdown_table(["", "share right"], judged),
            published(),
        ]
    )


def _table(title: str, head: list[str], rows: list[list]) -> list[str]:
    """A table under its title; nothing without rows."""
    return [f"## {title}\n", markdown_table(head, rows)] if rows else []
