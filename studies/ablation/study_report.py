"""Report of the study with tables, text and plots, made from the files of its runs."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean

from uniavgen_core.evaluation.markdown_tables import legend, markdown_table

from .cell_measures import LOWER_IS_BETTER, MEASURES
from .cells import BASE
from .comparisons import (
    FEWEST_SEEDS,
    LOSS,
    LS,
    SIGNS,
    STANDS_FOR,
    TABLES,
    Line,
    Results,
    Table,
    Verdict,
    found_sign,
    spread,
    verdict,
)
from .study_plots import draw_curves, draw_scales, draw_table
from .study_runs import GUIDANCE, TRUTH

_INTRODUCTION = """# The paper's ablations, at toon scale

Small UniAVGens, alike but for one part each, trained on talking toons to equal steps: one network per cell and seed.
The cells of a seed start from the same two branches, trained side by side before, and see the same clips, noise and
noise levels in the same order. In a clone of the repository, `python dev.py ablate` makes it again, and
`python dev.py ablate --report` this page alone.

Read it for signs, not for sizes: toons are not people, a hundredth of the steps is not the paper's training, and our
measures only stand in for the paper's. Numbers are means over seeds with the standard deviation between seeds.

**The rule of the verdicts.** A line is compared with the first line of its table, seed by seed. If the difference has
one sign in all seeds and its mean is beyond two standard errors, it counts: *reproduced* if the paper has that sign
too, *not reproduced* if the paper has the other. Everything else is *too noisy to say*. The held-out loss of the
picture is held to the sign of the paper's LS, because it is the least noisy. Some of so many comparisons pass by
chance.

**What sampling can and cannot show here.** A toon follows from its conditions, all but its blinks, and the mean of the
clips that fit the conditions is right: one pass of a trained network gives it, without guidance. Where nothing is left
to chance, comparing guidance, samplers or numbers of steps proves little. What guidance gains here, it gains for
networks of few training steps. For the released model it is a setting of the paper, which this study does not test.
"""


def write_report(results: Path) -> dict[str, dict]:
    """Write REPORT.md and its plots next to the folder ``runs``.

    Returns means, spreads and seeds by measure, and verdicts, by table and line.

    Raises:
        ValueError: If there are no runs.
    """
    found = Results(results)
    if not found.runs:
        raise ValueError(f"There are no results in {results / 'runs'}; run the study first, without --report.")
    summaries, parts = {}, [_INTRODUCTION, _about(results, found), _measures(found)]
    for table in TABLES:
        summary = summarise(table, found)
        if len(summary) < 2:
            parts.append(f"## {table.title}\n\nNot run yet.\n")
            continue
        summaries[table.name] = summary
        parts.append(_section(table, summary))
        draw_table(table, found, results / f"{table.name}.png")
    if GUIDANCE in found.runs:
        draw_scales(found, results / "scales.png")
        parts.append("## Guidance scales\n\n![One scale varied, the other held](scales.png)\n")
    if BASE.name in found.runs:
        draw_curves(found, results / "curves.png")
        curves = [run["curve"] for run in found.runs[BASE.name].values()]
        falls = " and ".join(f"of {name} by {100 * last_fall(curves, name):.1f} %" for name in ("video", "audio"))
        parts.append(
            "## Loss of the base cell over its steps\n\nBetween the last two tenths of the steps, while the rate falls "
            f"to zero, the loss falls {falls}.\n\n![Loss curves](curves.png)\n"
        )
    (results / "REPORT.md").write_text("\n".join(parts), encoding="utf-8")
    return summaries


def summarise(table: Table, found: Results) -> dict[str, dict]:
    """Means, spreads and verdicts of the lines with runs; empty if the first line has none."""
    first = found.values(table.lines[0])
    if not first:
        return {}
    summary = {}
    for line in table.lines:
        values = found.values(line)
        if not values:
            continue
        names = [name for name in MEASURES if all(name in one for one in values.values())]
        rows = {name: [one[name] for one in values.values()] for name in names}
        summary[line.label] = {
            "seeds": sorted(values),
            "mean": {name: mean(row) for name, row in rows.items()},
            "spread": {name: spread(row) for name, row in rows.items()},
            "verdicts": {} if line is table.lines[0] else _verdicts(table.lines[0], line, found),
        }
    return summary


def last_fall(curves: Sequence[Sequence[Mapping[str, float]]], name: str) -> float:
    """Relative decrease of a loss between the last two tenths of the curves."""
    tenth = max(1, len(curves[0]) // 10)
    before, after = (
        mean([point[name] for curve in curves for point in curve[part]])
        for part in (slice(-2 * tenth, -tenth), slice(-tenth, None))
    )
    return 1 - after / before


def differences(first: Line, line: Line, measure: str, found: Results) -> list[float]:
    """Line minus first line for each common seed, positive where the line is better."""
    chosen, others = found.values(first), found.values(line)
    sign = -1 if measure in LOWER_IS_BETTER else 1
    seeds = [seed for seed in sorted(chosen) if seed in others and measure in chosen[seed]]
    return [sign * (others[seed][measure] - chosen[seed][measure]) for seed in seeds]


def _verdicts(first: Line, line: Line, found: Results) -> dict[str, str]:
    """Verdict by measure, or the sign that was found if the paper has no number."""
    called = {}
    for measure, name in {**STANDS_FOR, LOSS: LS}.items():
        apart = differences(first, line, measure, found)
        if not apart:
            continue
        if name in first.paper and name in line.paper:
            called[measure] = verdict(apart, 1 if line.paper[name] > first.paper[name] else -1).value
        elif len(apart) >= FEWEST_SEEDS and found_sign(apart):
            called[measure] = f"{SIGNS[found_sign(apart)]}, the paper gives no number"
        else:
            called[measure] = (Verdict.FEW if len(apart) < FEWEST_SEEDS else Verdict.NOISY).value
    return called


def _section(table: Table, summary: Mapping[str, dict]) -> str:
    """Format one table with its text and its plot."""
    lines = {line.label: line for line in table.lines}
    published = [name for name in STANDS_FOR.values() if any(name in line.paper for line in table.lines)]
    measures = [name for name in MEASURES if any(name in one["mean"] for one in summary.values())]
    rows = [
        [
            label,
            *(lines[label].paper.get(name) for name in published),
            *(_number(one, name) for name in measures),
            len(one["seeds"]),
        ]
        for label, one in summary.items()
    ]
    text = markdown_table(["", *(f"paper {name}" for name in published), *measures, "seeds"], rows)
    sentences = "\n".join(_sentence(table, label, one) for label, one in summary.items() if one["verdicts"])
    note = f"\n{table.note}\n" if table.note else ""
    return f"## {table.title}\n{note}\n{text}\n{sentences}\n\n![{table.title}]({table.name}.png)\n"


def _number(one: Mapping, name: str) -> str | None:
    """Mean and spread as text."""
    return f"{one['mean'][name]:.3f} ± {one['spread'][name]:.3f}" if name in one["mean"] else None


def _sentence(table: Table, label: str, one: Mapping) -> str:
    """Verdicts on one line in words."""
    grouped: dict[str, list[str]] = {}
    for measure, called in one["verdicts"].items():
        grouped.setdefault(called, []).append(f"`{measure}`")
    said = "; ".join(f"{called} by {', '.join(measures)}" for called, measures in grouped.items())
    return f"- *{label}* against *{table.lines[0].label}*: {said}."


def _about(results: Path, found: Results) -> str:
    """Section on sizes, seeds and computing time."""
    path = results / "study.json"
    sizes = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    seconds = sum(run.get("cpu_seconds", 0) for runs in found.runs.values() for run in runs.values())
    said = ", ".join(f"{name} {value}" for name, value in sizes.items())
    count = sum(len(runs) for runs in found.runs.values())
    return f"Sizes: {said}.\n\n{count} runs, {seconds / 3600:.1f} CPU hours without what they share.\n"


def _measures(found: Results) -> str:
    """Section on the measures, with their values for the held-out clips themselves."""
    truth = next(iter(found.runs.get(TRUTH, {}).values()), None)
    text = f"## Measures\n\n{legend(MEASURES)}"
    if truth is None:
        return text
    reached = ", ".join(f"`{name}` {value:.3f}" for name, value in truth["values"].items())
    judges = ", ".join(f"{name} {value:.3f}" for name, value in truth["judges"].items())
    return f"{text}\nThe held-out clips themselves reach {reached}. Share the judges get right: {judges}.\n"
