"""Report of the comparison at few steps: Markdown, JSON and a plot."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from toon.evaluation.measures import MEASURES
from uniavgen_core.evaluation.bar_plots import new_figure
from uniavgen_core.evaluation.markdown_tables import legend, markdown_table

Row = dict[str, Any]
WAY = ("sampler", "schedule", "steps")
THRESHOLDS = ("video_threshold", "audio_threshold")
ERRORS = ("calls", "video", "audio")
COLOURS = ("#3f7fc1", "#d9a05b", "#5b9a68", "#b0568b", "#7e8a9a", "#c1503f", "#6a5acd")


def total_error(row: Row) -> float:
    """Sum of the errors of both modalities."""
    return (row["video"] ** 2 + row["audio"] ** 2) ** 0.5


def markdown(results: dict) -> str:
    """Format the report as Markdown."""
    judged, (video, audio) = results["judged"], results["guidance"]
    measures = [name for name in MEASURES if any(name in row for row in judged)]
    parts = [
        "# Few steps\n",
        f"{results['model']}, world {results['world']}, guidance {video:g} and {audio:g}. Errors are distances to "
        f"`{results['reference']}` from the same noise, on {results['clips']} held-out toons, as shares of its root "
        "mean square. A call is a pass of the network with conditions and, where there is guidance, a null pass.\n",
        "## Noise levels\n",
        _table(results["schedules"], (*WAY, *ERRORS)),
        "## Samplers\n",
        _table(sorted(results["samplers"], key=lambda row: (row["steps"], total_error(row))), (*WAY, *ERRORS)),
        "## Step cache\n",
        _table(results["cache"], (*WAY, *THRESHOLDS, *ERRORS)),
    ]
    if judged:
        parts += [
            f"## Judged on {results['judged_clips']} held-out toons\n",
            _table(judged, (*WAY, *THRESHOLDS, "calls", *measures)),
            legend({name: MEASURES[name] for name in measures}),
        ]
    return "\n".join(parts)


def _table(rows: Sequence[Row], columns: Sequence[str]) -> str:
    return markdown_table(columns, [[row.get(column) for column in columns] for row in rows])


def write(results: dict, folder: Path) -> None:
    """Write the report to a folder."""
    (folder / "steps.md").write_text(markdown(results), encoding="utf-8")
    (folder / "steps.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    draw(results, folder / "steps.png")


def draw(results: dict, path: Path) -> None:
    """Draw errors over calls, with a panel for each modality, a line for each sampler and crosses for cached runs."""
    figure = new_figure(12, 5)
    rows = results["samplers"]
    for place, modality in enumerate(("video", "audio")):
        axes = figure.add_subplot(1, 2, place + 1)
        for colour, sampler in zip(COLOURS, dict.fromkeys(row["sampler"] for row in rows), strict=False):
            for number, schedule in enumerate(dict.fromkeys(row["schedule"] for row in rows)):
                line = sorted(
                    (row["calls"], row[modality])
                    for row in rows
                    if (row["sampler"], row["schedule"]) == (sampler, schedule)
                )
                style = {"linestyle": "-:"[number % 2], "marker": "o", "markersize": 3, "color": colour}
                axes.plot(*zip(*line, strict=True), label=f"{sampler}, {schedule}", **style)
        cached = results["cache"]
        points = [(row["calls"], row[modality]) for row in cached]
        axes.plot(*zip(*points, strict=True), "kx", label=f"step cache, {cached[0]['steps']} steps")
        axes.set(xscale="log", yscale="log", xlabel="calls of the network", title=f"error of the {modality}")
        ticks = sorted({row["steps"] for row in rows})
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
        axes.tick_params(axis="x", which="minor", bottom=False, labelbottom=False)
        axes.grid(alpha=0.3)
    axes.legend(fontsize=7)
    figure.savefig(path)
