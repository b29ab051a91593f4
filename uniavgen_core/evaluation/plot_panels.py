"""Panels of a plot drawn with Pillow: axes with ticks, dashed lines and text, supersampled for smooth lines.

Dimension key: P points of a curve, H picture height, W picture width.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

WIDTH, HEIGHT = 960, 540
FINE = 2
"""Supersampling factor, for smooth lines."""
PAPER, PANEL, GRID, INK, DIM = "#16181d", "#1f2229", "#343944", "#f2f4f8", "#9aa3b2"
ORANGE, BLUE, GREEN, RED = "#ffb454", "#5ab0ff", "#7ee2a8", "#ff9e8a"
_FOOT = 26  # Height of the tick labels below the curves of a panel.
_MOST_TICKS = 8


@dataclass(frozen=True)
class Axes:
    """A panel with a scale: ``left`` to ``right`` over the box's width, ``low`` to ``high`` over its height."""

    box: tuple[int, int, int, int]
    left: float
    right: float
    low: float = 0.0
    high: float = 1.0

    def points(self, x: np.ndarray, y: np.ndarray) -> list[tuple[float, float]]:
        """Pixels of a curve's points, (P,) each, without those outside the panel and NaN."""
        x0, y0, x1, y1 = self.box
        across = x0 + (x - self.left) / (self.right - self.left) * (x1 - x0)
        down = y1 - _FOOT - (y - self.low) / (self.high - self.low) * (y1 - y0 - _FOOT - 8)
        inside = np.isfinite(y) & (across >= x0 - 1e-6) & (across <= x1 + 1e-6)
        return [(float(a) * FINE, float(b) * FINE) for a, b in zip(across[inside], down[inside], strict=True)]


def new_sheet() -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """Make an empty plot and its pen; places are pixels of the finished plot times ``FINE``."""
    sheet = Image.new("RGB", (WIDTH * FINE, HEIGHT * FINE), PAPER)
    return sheet, ImageDraw.Draw(sheet)


def finished(sheet: Image.Image) -> np.ndarray:
    """Plot at its final size, RGB, (540, 960, 3) uint8."""
    return np.asarray(sheet.resize((WIDTH, HEIGHT), Image.Resampling.BOX))


def draw_panel(pen: ImageDraw.ImageDraw, axes: Axes, ticks: np.ndarray, unit: str) -> None:
    """Draw the background of a panel with a line and a number at each tick.

    Args:
        pen: Pen of the plot.
        axes: The panel.
        ticks: Places of the lines along the horizontal axis, (P,).
        unit: Unit of the numbers.
    """
    x0, y0, x1, y1 = axes.box
    pen.rectangle([x0 * FINE, y0 * FINE, x1 * FINE, y1 * FINE], PANEL)
    for tick in ticks:
        across = x0 + (tick - axes.left) / (axes.right - axes.left) * (x1 - x0)
        pen.line([across * FINE, y0 * FINE, across * FINE, y1 * FINE], GRID, 1)
        if across < x1 - 30:
            write(pen, (across + 3, y1 - 18), f"{tick:g} {unit}", 12, DIM)


def draw_dashes(pen: ImageDraw.ImageDraw, points: list[tuple[float, float]], colour: str) -> None:
    """Draw a thin dashed line, with dashes and gaps of five pixels.

    Args:
        pen: Pen of the plot.
        points: Points as ``Axes.points`` gives them.
        colour: Colour of the line.
    """
    if len(points) < 2:
        return
    path = np.array(points)
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    for start in np.arange(0, along[-1], 10 * FINE):
        places = np.array([start, min(start + 5 * FINE, along[-1])])
        x, y = (np.interp(places, along, path[:, axis]) for axis in (0, 1))
        pen.line([(float(x[0]), float(y[0])), (float(x[1]), float(y[1]))], colour, FINE)


def ticks(left: float, right: float) -> np.ndarray:
    """Round numbers between two bounds, at most eight steps."""
    power = 10.0 ** np.floor(np.log10((right - left) / _MOST_TICKS))
    step = next(power * part for part in (1, 2, 5, 10) if (right - left) / (power * part) <= _MOST_TICKS)
    return np.arange(np.ceil(left / step - 1e-9), np.floor(right / step + 1e-9) + 1) * step + 0.0  # no -0


@lru_cache(maxsize=8)
def _font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size * FINE)


def write(pen: ImageDraw.ImageDraw, place: tuple[float, float], text: str, size: int, colour: str) -> None:
    """Write a text.

    Args:
        pen: Pen of the plot.
        place: Upper left corner, pixels of the finished plot.
        text: The text.
        size: Size of the letters, pixels.
        colour: Colour of the letters.
    """
    pen.text((place[0] * FINE, place[1] * FINE), text, colour, _font(size))
