"""Plot of a lip-sync reading: both curves over time, the score over lags, and the place that was measured.

Dimension key: F video frames, H picture height, W picture width, P points of a curve, L lags.
"""

from dataclasses import dataclass
from functools import lru_cache
from textwrap import wrap

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .mouth_finder import Pictures, to_bytes
from .sync_meter import SyncReading

WIDTH, HEIGHT = 960, 540
_FINE = 2
"""Supersampling factor, for smooth lines."""
_PAPER, _PANEL, _GRID, _INK, _DIM = "#16181d", "#1f2229", "#343944", "#f2f4f8", "#9aa3b2"
_MOUTH, _SOUND, _BEST, _WARNING = "#ffb454", "#5ab0ff", "#7ee2a8", "#ff9e8a"
_MARGIN, _BOTTOM = 24, 484
_CURVES, _PICTURE, _LAGS = (24, 96, 640, _BOTTOM - 8), (664, 96, 936, 290), (664, 330, 936, _BOTTOM - 8)
_FOOT = 26  # Height of the tick labels below the curves of a panel.
_ALIKE = 0.9
"""Share of the best score from which on a lag fits as well."""
_MOST_TICKS = 8


@dataclass(frozen=True)
class _Axes:
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
        return [(float(a) * _FINE, float(b) * _FINE) for a, b in zip(across[inside], down[inside], strict=True)]


def draw_sync(reading: SyncReading, frames: Pictures) -> np.ndarray:
    """Draw a reading.

    Args:
        reading: Result of the meter.
        frames: The measured pictures, RGB, uint8 or floats in [0, 1], (F, H, W, 3).

    Returns:
        The plot, RGB, (540, 960, 3) uint8.
    """
    sheet = Image.new("RGB", (WIDTH * _FINE, HEIGHT * _FINE), _PAPER)
    pen = ImageDraw.Draw(sheet)
    _draw_title(pen, reading)
    _draw_curves(pen, reading)
    _draw_picture(sheet, pen, reading, frames)
    _draw_lags(pen, reading)
    for row, line in enumerate(wrap(" ".join(reading.notices), 126)[:2]):
        _write(pen, (_MARGIN, _BOTTOM + 12 + 20 * row), line, 15, _WARNING)
    return np.asarray(sheet.resize((WIDTH, HEIGHT), Image.Resampling.BOX))


def _draw_title(pen: ImageDraw.ImageDraw, reading: SyncReading) -> None:
    """Draw score and lag in large type, with the other numbers next to them."""
    _write(pen, (_MARGIN, 16), f"score {reading.score:.2f}", 34, _INK)
    lag = f"{reading.lag_ms:+.0f} ms" if reading.lag_ms else "0 ms"
    _write(pen, (230, 16), f"lag {lag}" if reading.score else "no lag", 34, _BEST)
    _write(pen, (470, 18), describe_lag(reading), 16, _DIM)
    _write(pen, (470, 40), f"{reading.verdict}     backwards: {reading.chance:.2f}", 16, _DIM)
    for left, colour, name in ((24, _MOUTH, "mouth movement"), (170, _SOUND, "loudness, moved by the lag")):
        pen.line([left * _FINE, 82 * _FINE, (left + 22) * _FINE, 82 * _FINE], colour, 3 * _FINE)
        _write(pen, (left + 30, 73), name, 14, _DIM)
    _draw_dashes(pen, [(400 * _FINE, 82 * _FINE), (424 * _FINE, 82 * _FINE)], _SOUND)
    _write(pen, (432, 73), "loudness as it is", 14, _DIM)


def describe_lag(reading: SyncReading) -> str:
    """Meaning of the lag in words, with the lags that fit about as well."""
    if not reading.score:
        return "nothing to compare"
    if reading.scores.max() <= reading.chance:
        return "no lag fits better than the sound played backwards"
    first, last = _lags_as_good(reading)
    if abs(reading.lag_ms) <= 500 / reading.fps:
        return "in time, to within half a frame"
    if first <= 0 <= last:
        return f"may be in time: {first:.0f} to {last:.0f} ms fit alike"
    return f"the sound is {abs(reading.lag_ms):.0f} ms {'late' if reading.lag_ms > 0 else 'early'}"


def _lags_as_good(reading: SyncReading) -> tuple[float, float]:
    """First and last of the lags around the best, milliseconds, that score nine tenths of it or more."""
    poor = np.flatnonzero(reading.scores < _ALIKE * reading.scores.max())
    best = int(np.abs(reading.lags_ms - reading.lag_ms).argmin())
    first, last = poor[poor < best], poor[poor > best]
    return (
        float(reading.lags_ms[first[-1] + 1 if len(first) else 0]),
        float(reading.lags_ms[last[0] - 1 if len(last) else -1]),
    )


def _draw_curves(pen: ImageDraw.ImageDraw, reading: SyncReading) -> None:
    """Draw mouth movement and loudness over time; the loudness as it is and moved by the lag."""
    seconds = len(reading.movement) / reading.fps
    axes, times = _Axes(_CURVES, 0, seconds), (np.arange(len(reading.movement)) + 0.5) / reading.fps
    _draw_panel(pen, axes, _ticks(0, seconds), "s")
    loudness = _stretch(reading.envelope)
    _draw_dashes(pen, axes.points(times, loudness), _SOUND)
    pen.line(axes.points(times - reading.lag_ms / 1000, loudness), _SOUND, 3 * _FINE, "curve")
    pen.line(axes.points(times, _stretch(reading.movement)), _MOUTH, 3 * _FINE, "curve")


def _draw_lags(pen: ImageDraw.ImageDraw, reading: SyncReading) -> None:
    """Draw the score at every lag, and mark the highest."""
    most = reading.lags_ms[-1]
    axes = _Axes(_LAGS, -most, most, 0.0)
    _write(pen, (_LAGS[0], _LAGS[1] - 24), "score at each lag of the sound", 14, _DIM)
    _draw_panel(pen, axes, _ticks(-most, most), "ms")
    for level, colour in ((0.0, _GRID), (reading.chance, _WARNING)):
        _draw_dashes(pen, axes.points(np.array([-most, most]), np.array([level, level])), colour)
    pen.line(axes.points(reading.lags_ms, reading.scores), _INK, 2 * _FINE, "curve")
    ((x, y),) = axes.points(np.array([reading.lag_ms]), np.array([reading.scores.max()]))
    pen.line([x, _LAGS[1] * _FINE, x, _LAGS[3] * _FINE], _BEST, _FINE)
    pen.ellipse([x - 5 * _FINE, y - 5 * _FINE, x + 5 * _FINE, y + 5 * _FINE], _BEST)


def _draw_picture(sheet: Image.Image, pen: ImageDraw.ImageDraw, reading: SyncReading, frames: Pictures) -> None:
    """Draw the frame in which the mouth moves most, and the part that was measured."""
    index = int(reading.movement.argmax())
    picture = Image.fromarray(to_bytes(frames[index]))
    x0, y0, x1, y1 = (side * _FINE for side in _PICTURE)
    scale = min((x1 - x0) / picture.width, (y1 - y0) / picture.height)
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    left, top = (x0 + x1 - size[0]) // 2, (y0 + y1 - size[1]) // 2
    sheet.paste(picture.resize(size, Image.Resampling.BICUBIC), (left, top))
    if not reading.score:
        return
    corners = np.clip(reading.boxes[index] * scale, 0, (*size, *size)) + np.array([left, top, left, top])
    pen.rectangle([float(side) for side in corners], outline=_MOUTH, width=2 * _FINE)
    _write(pen, (_PICTURE[0], _PICTURE[1] - 23), "measured here", 14, _DIM)


def _draw_panel(pen: ImageDraw.ImageDraw, axes: _Axes, ticks: np.ndarray, unit: str) -> None:
    """Draw the background of a panel with a line and a number at each tick."""
    x0, y0, x1, y1 = axes.box
    pen.rectangle([x0 * _FINE, y0 * _FINE, x1 * _FINE, y1 * _FINE], _PANEL)
    for tick in ticks:
        across = x0 + (tick - axes.left) / (axes.right - axes.left) * (x1 - x0)
        pen.line([across * _FINE, y0 * _FINE, across * _FINE, y1 * _FINE], _GRID, 1)
        if across < x1 - 30:
            _write(pen, (across + 3, y1 - 18), f"{tick:g} {unit}", 12, _DIM)


def _draw_dashes(pen: ImageDraw.ImageDraw, points: list[tuple[float, float]], colour: str) -> None:
    """Draw a thin dashed line through points, with dashes and gaps of five pixels."""
    if len(points) < 2:
        return
    path = np.array(points)
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    for start in np.arange(0, along[-1], 10 * _FINE):
        places = np.array([start, min(start + 5 * _FINE, along[-1])])
        x, y = (np.interp(places, along, path[:, axis]) for axis in (0, 1))
        pen.line([(float(x[0]), float(y[0])), (float(x[1]), float(y[1]))], colour, _FINE)


def _stretch(curve: np.ndarray) -> np.ndarray:
    """Scale a curve to [0, 1]; a constant one becomes 0."""
    low, high = np.nanmin(curve), np.nanmax(curve)
    return (curve - low) / max(high - low, 1e-9)


def _ticks(left: float, right: float) -> np.ndarray:
    """Round numbers between two bounds, at most eight steps."""
    power = 10.0 ** np.floor(np.log10((right - left) / _MOST_TICKS))
    step = next(power * part for part in (1, 2, 5, 10) if (right - left) / (power * part) <= _MOST_TICKS)
    return np.arange(np.ceil(left / step - 1e-9), np.floor(right / step + 1e-9) + 1) * step + 0.0  # no -0


@lru_cache(maxsize=8)
def _font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size * _FINE)


def _write(pen: ImageDraw.ImageDraw, place: tuple[float, float], text: str, size: int, colour: str) -> None:
    pen.text((place[0] * _FINE, place[1] * _FINE), text, colour, _font(size))
