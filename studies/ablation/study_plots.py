"""Plots of the study: rows of a table by seed, measures over guidance scales, losses over steps."""

from pathlib import Path
from statistics import mean
from typing import Any

from uniavgen_core.evaluation.bar_plots import new_figure

from .cells import BASE
from .comparisons import LOSS, Results, Table
from .study_runs import GUIDANCE

_SHOWN = ("sync", "timbre", "emotion", "psnr", LOSS)
_DOT, _MEAN = "#9db8d6", "#1f5f9f"


def draw_table(table: Table, found: Results, path: Path) -> None:
    """Draw a dot for every seed and a line for the mean, in a panel for each measure."""
    lines = [line for line in table.lines if found.values(line)]
    shown = [name for name in _SHOWN if all(name in one for line in lines for one in found.values(line).values())]
    figure = new_figure(3.2 * len(shown), 1.2 + 0.4 * len(lines))
    for place, name in enumerate(shown):
        axes = figure.add_subplot(1, len(shown), place + 1)
        for row, line in enumerate(lines):
            values = [one[name] for one in found.values(line).values()]
            axes.scatter(values, [row] * len(values), color=_DOT, s=24)
            axes.plot([mean(values)] * 2, [row - 0.3, row + 0.3], color=_MEAN, linewidth=2)
        labels = [line.label for line in lines] if place == 0 else [""] * len(lines)
        axes.set_yticks(range(len(lines)), labels, fontsize=8)
        axes.invert_yaxis()
        axes.set_title(name, fontsize=10)
        axes.tick_params(labelsize=8)
        axes.grid(axis="x", alpha=0.3)
    figure.savefig(path)


def draw_scales(found: Results, path: Path) -> None:
    """Draw measures over each guidance scale, with the other one fixed."""
    runs = [run["kinds"] for run in found.runs[GUIDANCE].values()]
    shown = ("sync", "first_of_8", "wer", "timbre", "psnr")
    figure = new_figure(3.2 * len(shown), 3.2)
    for place, name in enumerate(shown):
        axes = figure.add_subplot(1, len(shown), place + 1)
        for scale, colour in (("s_v", "#1f5f9f"), ("s_a", "#c8752a")):
            points = _points(runs, scale, name)
            axes.plot(*zip(*points, strict=True), marker="o", color=colour, label=scale)
        _finish(axes, name, "scale")
    figure.savefig(path)


def _points(runs: list[dict], scale: str, name: str) -> list[tuple[float, float]]:
    """Scale and mean measure, by rising scale."""
    # The kind without a scale in its name has the study's scale, 2, for both modalities.
    kinds = {float(kind.split()[1]): kind for kind in runs[0] if kind.startswith(f"{scale} ")} | {2.0: "first half"}
    return [(value, mean(run[kind][name] for run in runs)) for value, kind in sorted(kinds.items())]


def draw_curves(found: Results, path: Path) -> None:
    """Draw the losses of the base cell over the steps, with a line for each seed."""
    figure = new_figure(9.6, 3.2)
    for place, name in enumerate(("video", "audio", "mask")):
        axes = figure.add_subplot(1, 3, place + 1)
        for seed, run in found.runs[BASE.name].items():
            axes.plot(*zip(*_smoothed(run["curve"], name), strict=True), label=f"seed {seed}")
        _finish(axes, name, "step")
    figure.savefig(path)


def _smoothed(curve: list[dict[str, float]], name: str, width: int = 5) -> list[tuple[float, float]]:
    """Moving average of a loss over the log; single entries vary with their noise levels."""
    groups = [curve[max(0, i - width + 1) : i + 1] for i in range(len(curve))]
    return [(group[-1]["step"], mean(line[name] for line in group)) for group in groups]


def _finish(axes: Any, title: str, below: str) -> None:
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(below, fontsize=8)
    axes.tick_params(labelsize=8)
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)
