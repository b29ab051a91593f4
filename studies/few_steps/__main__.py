"""Comparison of samplers, schedules and step caches at few steps on a network of toons, by error and by judges.

The error is measured on a few held-out toons as the distance to 200 Euler steps from the same noise: first of all
schedules with two samplers, then of all samplers with the best schedule. The best for each number of calls, and the
release's own, are then rated by the evaluation's judges on more toons. Finished clips are kept in the work folder with
the report, so an interrupted run continues with the same command.
"""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from toon.evaluation.bundle_report import WORLDS
from toon.evaluation.judges import JudgeRecipe, judges_of
from toon.evaluation.measures import measure_cases
from uniavgen_core.bundled.bundled_files import BUNDLED_MODEL
from uniavgen_core.media.audio.mel import denormalize_mel

from .cells_of_steps import REFERENCE, RELEASE, STUDY_GUIDANCE, Cell, Clips, Studied, cache_config
from .steps_report import Row, markdown, total_error, write

WORK = Path("output/steps")
SCHEDULES = ("shift 1", "shift 2", "shift 3", RELEASE, "shift 8", "simple", "normal", "beta", "linear_quadratic")
SCHEDULES_WITH, SCHEDULES_AT = ("euler", "ipndm"), 12
SAMPLERS = ("euler", "heun", "dpmpp_2m", "res_multistep", "uni_pc", "deis", "ipndm")
FEW, MANY = (8, 12), (20, 30, 50)
"""Steps at which all samplers are compared with both the release's and the best schedule, and with the best alone."""
FEWEST = tuple(Cell("euler", "simple", steps) for steps in (1, 2, 4))
"""Judged without being compared by error: of those of 4 is the preset *instant*."""
CACHED = Cell("euler", RELEASE, MANY[-1])
THRESHOLDS = ((0.02, 0.02), (0.05, 0.05), (0.1, 0.1), (0.05, 0.1), (0.1, 0.05))
CACHE_LOSS = 1.5
"""Largest error of the judged cached run, relative to the run without a cache; it has the fewest calls within this."""
JUDGED = (
    "corr", "in_time", "words", "voice", "emotion_sound", "emotion_face", "broken", "sharpness", "psnr", "amplitude",
)  # fmt: skip


def add_options(parser: ArgumentParser) -> None:
    """Add the options of the comparison."""
    add = parser.add_argument
    add("--model", type=Path, default=BUNDLED_MODEL, help="weights; a codec in the same folder is used")
    add("--world", choices=WORLDS, default="steady", help="world of the model's toons")
    add("--video-guidance", type=float, default=STUDY_GUIDANCE.video_scale, help="scale of the picture in all cells")
    add("--audio-guidance", type=float, default=STUDY_GUIDANCE.audio_scale, help="scale of the sound in all cells")
    add("--clips", type=int, default=3, help="held-out toons for the error")
    add("--judged", type=int, default=16, help="held-out toons that are judged; 0 for none")
    add("--work", type=Path, default=WORK, help="folder for clips, judges and the report")
    add("--threads", type=int, default=1, help="CPU threads")


def measure(options: Namespace) -> dict:
    """Generate, compare, judge and write the report; see the module."""
    torch.set_num_threads(options.threads)
    guidance = replace(STUDY_GUIDANCE, video_scale=options.video_guidance, audio_scale=options.audio_guidance)
    studied = Studied(options.model, options.world, guidance)
    clips = Clips(max(options.clips, options.judged), options.work / "latents", studied)

    def rows(cells: Iterable[Cell]) -> list[Row]:
        return [row_of(clips, cell, options.clips) for cell in dict.fromkeys(cells)]

    schedules = rows(Cell(sampler, name, SCHEDULES_AT) for name in SCHEDULES for sampler in SCHEDULES_WITH)
    best = best_schedule(schedules)
    few = rows(Cell(sampler, name, steps) for steps in FEW for sampler in SAMPLERS for name in (RELEASE, best))
    many = rows(Cell("euler", RELEASE, steps) for steps in MANY)
    many += rows(Cell(sampler, best, steps) for steps in MANY for sampler in SAMPLERS)
    cells = [CACHED, *(Cell(*CACHED.way, cache_config(*pair)) for pair in THRESHOLDS)]
    results = {
        "model": options.model.name,
        "world": options.world,
        "guidance": [options.video_guidance, options.audio_guidance],
        "clips": options.clips,
        "reference": REFERENCE.name,
        "schedules": schedules,
        "samplers": few + many,
        "cache": rows(cells),
        "judged_clips": options.judged,
    }
    results["judged"] = judge(clips, results, options) if options.judged else []
    write(results, options.work)
    return results


def row_of(clips: Clips, cell: Cell, count: int) -> Row:
    """Row of a cell with its error."""
    row = describe(cell) | clips.errors(cell, count)
    sys.stderr.write(f"{cell.name}: {row['calls']:.1f} calls, video {row['video']:.4f}, audio {row['audio']:.4f}\n")
    return row


def describe(cell: Cell) -> Row:
    """Fields of a cell in a row."""
    video, audio = cell.cache.thresholds if cell.cache else (0.0, 0.0)
    plain = {"sampler": cell.sampler, "schedule": cell.schedule, "steps": cell.steps}
    return plain | {"video_threshold": video, "audio_threshold": audio}


def cell_of(row: Row) -> Cell:
    """Cell of a row; the inverse of ``describe``."""
    thresholds = (row["video_threshold"], row["audio_threshold"])
    return Cell(row["sampler"], row["schedule"], row["steps"], cache_config(*thresholds) if any(thresholds) else None)


def best_schedule(rows: Sequence[Row]) -> str:
    """Schedule with the smallest error summed over samplers, without the release's own."""
    names = dict.fromkeys(row["schedule"] for row in rows if row["schedule"] != RELEASE)
    return min(names, key=lambda name: sum(total_error(row) for row in rows if row["schedule"] == name))


def best_within(rows: Sequence[Row], calls: int) -> Row:
    """Row with the smallest error among those with at most ``calls`` calls."""
    return min((row for row in rows if row["calls"] <= calls), key=total_error)


def best_cached(rows: Sequence[Row]) -> Row:
    """Cached run with the fewest calls within ``CACHE_LOSS``; the first row is the run without a cache."""
    plain, *cached = rows
    near = [row for row in cached if total_error(row) <= CACHE_LOSS * total_error(plain)]
    return min(near or cached, key=lambda row: row["calls"])


def judge(clips: Clips, results: dict, options: Namespace) -> list[Row]:
    """Rate ground truth, the release with many and few steps, the best for each number of calls, and the fewest."""
    chosen = [Cell("euler", RELEASE, steps) for steps in (MANY[-1], FEW[-1])]
    chosen += [cell_of(best_within(results["samplers"], steps)) for steps in (*FEW, *MANY)]
    chosen += [cell_of(best_cached(results["cache"])), *FEWEST]
    judges = judges_of(options.work / "judges", JudgeRecipe())
    truth = [(case.frames, denormalize_mel(case.mel).T) for case in clips.cases]
    values = measure_cases("truth", truth, clips.cases, judges).values
    rated = [{"sampler": "ground truth"} | {name: values[name] for name in JUDGED if name in values}]
    for cell in dict.fromkeys(chosen):
        values = measure_cases(cell.name, clips.decoded(cell), clips.cases, judges).values
        _, passes = clips.latents(cell, len(clips.cases))
        row = describe(cell) | {"calls": clips.calls(passes, len(clips.cases))}
        rated.append(row | {name: values[name] for name in JUDGED if name in values})
        sys.stderr.write(f"{cell.name}: {rated[-1]}\n")
    return rated


def table(results: dict) -> str:
    """Format the results as text."""
    return markdown(results)
