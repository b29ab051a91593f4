"""Plots of a table: bars of the rows in a panel for each measure, and histograms of lags.

Only matplotlib's Figure is used, so no window, backend or global state is involved.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

_COLUMNS = 3
_COLOURS = {"shuffled": "#d9a05b", "truth": "#7e8a9a", "": "#3f7fc1"}


def new_figure(width: float, height: float) -> Any:
    """Make an empty figure; sizes in inches.

    Raises:
        ImportError: If matplotlib is missing.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("Plots need the package matplotlib: pip install matplotlib.", name=error.name) from error
    return Figure((width, height), dpi=110, layout="constrained")


def draw_bars(
    rows: Sequence[tuple[str, Mapping[str, float | None]]],
    measures: Sequence[str],
    path: Path,
    bounds: Mapping[str, float] | None = None,
) -> None:
    """Draw bars and save them as a PNG.

    Args:
        rows: Name and values of each row.
        measures: Values to plot, one panel each; a measure that no row has is skipped.
        path: The PNG file.
        bounds: Positions of dashed lines, by measure.
    """
    shown = [name for name in measures if any(values.get(name) is not None for _, values in rows)]
    lines = max(1, -(-len(shown) // _COLUMNS))
    figure = new_figure(4.4 * _COLUMNS, lines * (0.9 + 0.26 * len(rows)))
    for place, measure in enumerate(shown):
        axes = figure.add_subplot(lines, _COLUMNS, place + 1)
        values = [row.get(measure) for _, row in rows]
        colours = [_colour(name) for name, _ in rows]
        axes.barh(range(len(rows)), [np.nan if v is None else v for v in values], color=colours)
        axes.set_yticks(range(len(rows)), [name for name, _ in rows] if place % _COLUMNS == 0 else [""] * len(rows))
        axes.invert_yaxis()
        axes.set_title(measure, fontsize=10)
        axes.tick_params(labelsize=8)
        for at, value in enumerate(values):
            if value is not None and np.isfinite(value):
                axes.text(value, at, f" {value:.2f}", va="center", fontsize=7)
        axes.margins(x=0.15)
        if bounds and measure in bounds:
            axes.axvline(bounds[measure], color="#b03a3a", linestyle="--", linewidth=1)
    figure.savefig(path)


def draw_lags(lags: Mapping[str, Sequence[float]], unit: str, path: Path) -> None:
    """Draw a histogram of lags for each row and save them as a PNG.

    Args:
        lags: Lags by row.
        unit: Their unit, such as ``"frames"``.
        path: The PNG file.
    """
    shown = {name: values for name, values in lags.items() if len(values)}
    lines = max(1, -(-len(shown) // _COLUMNS))
    figure = new_figure(4.4 * _COLUMNS, 2.2 * lines)
    reach = max((abs(value) for values in shown.values() for value in values), default=1) + 0.5
    edges = np.arange(-reach, reach + 1) if unit == "frames" else np.linspace(-reach, reach, 41)
    for place, (name, values) in enumerate(shown.items()):
        axes = figure.add_subplot(lines, _COLUMNS, place + 1)
        axes.hist(values, bins=edges, color=_colour(name))
        axes.set_title(f"{name}: lag, {unit}", fontsize=10)
        axes.tick_params(labelsize=8)
    figure.savefig(path)


def _colour(name: str) -> str:
    """Colour of a row; truth and shuffled rows differ from the others."""
    return next(colour for key, colour in _COLOURS.items() if key in name)
