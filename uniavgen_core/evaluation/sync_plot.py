"""Plot of a lip-sync reading: both curves over time, the score over lags, and the place that was measured.

Dimension key: F video frames, H picture height, W picture width, L lags.
"""

from textwrap import wrap

import numpy as np
from PIL import Image, ImageDraw

from .mouth_finder import Pictures, to_bytes
from .plot_panels import (
    BLUE,
    DIM,
    FINE,
    GREEN,
    GRID,
    INK,
    ORANGE,
    RED,
    Axes,
    draw_dashes,
    draw_panel,
    finished,
    new_sheet,
    ticks,
    write,
)
from .sync_meter import SyncReading

_MOUTH, _SOUND, _BEST, _WARNING = ORANGE, BLUE, GREEN, RED
_MARGIN, _BOTTOM = 24, 484
_CURVES, _PICTURE, _LAGS = (24, 96, 640, _BOTTOM - 8), (664, 96, 936, 290), (664, 330, 936, _BOTTOM - 8)
_ALIKE = 0.9
"""Share of the best score from which on a lag fits as well."""


def draw_sync(reading: SyncReading, frames: Pictures) -> np.ndarray:
    """Draw a reading.

    Args:
        reading: Result of the meter.
        frames: The measured pictures, RGB, uint8 or floats in [0, 1], (F, H, W, 3).

    Returns:
        The plot, RGB, (540, 960, 3) uint8.
    """
    sheet, pen = new_sheet()
    _draw_title(pen, reading)
    _draw_curves(pen, reading)
    _draw_picture(sheet, pen, reading, frames)
    _draw_lags(pen, reading)
    for row, line in enumerate(wrap(" ".join(reading.notices), 126)[:2]):
        write(pen, (_MARGIN, _BOTTOM + 12 + 20 * row), line, 15, _WARNING)
    return finished(sheet)


def _draw_title(pen: ImageDraw.ImageDraw, reading: SyncReading) -> None:
    """Draw score and lag in large type, with the other numbers next to them."""
    write(pen, (_MARGIN, 16), f"score {reading.score:.2f}", 34, INK)
    lag = f"{reading.lag_ms:+.0f} ms" if reading.lag_ms else "0 ms"
    write(pen, (230, 16), f"lag {lag}" if reading.score else "no lag", 34, _BEST)
    write(pen, (470, 18), describe_lag(reading), 16, DIM)
    write(pen, (470, 40), f"{reading.verdict}     reversed audio: {reading.chance:.2f}", 16, DIM)
    for left, colour, name in ((24, _MOUTH, "mouth movement"), (170, _SOUND, "loudness, shifted by the lag")):
        pen.line([left * FINE, 82 * FINE, (left + 22) * FINE, 82 * FINE], colour, 3 * FINE)
        write(pen, (left + 30, 73), name, 14, DIM)
    draw_dashes(pen, [(400 * FINE, 82 * FINE), (424 * FINE, 82 * FINE)], _SOUND)
    write(pen, (432, 73), "loudness, unshifted", 14, DIM)


def describe_lag(reading: SyncReading) -> str:
    """Meaning of the lag in words, with the lags that fit about as well."""
    if not reading.score:
        return "nothing to compare"
    if reading.scores.max() <= reading.chance:
        return "no lag fits better than reversed audio"
    first, last = _lags_as_good(reading)
    if abs(reading.lag_ms) <= 500 / reading.fps:
        return "in time, to within half a frame"
    if first <= 0 <= last:
        return f"may be in time: {first:.0f} to {last:.0f} ms fit alike"
    return f"the audio is {abs(reading.lag_ms):.0f} ms {'late' if reading.lag_ms > 0 else 'early'}"


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
    axes, times = Axes(_CURVES, 0, seconds), (np.arange(len(reading.movement)) + 0.5) / reading.fps
    draw_panel(pen, axes, ticks(0, seconds), "s")
    loudness = _stretch(reading.envelope)
    draw_dashes(pen, axes.points(times, loudness), _SOUND)
    pen.line(axes.points(times - reading.lag_ms / 1000, loudness), _SOUND, 3 * FINE, "curve")
    pen.line(axes.points(times, _stretch(reading.movement)), _MOUTH, 3 * FINE, "curve")


def _draw_lags(pen: ImageDraw.ImageDraw, reading: SyncReading) -> None:
    """Draw the score at every lag, and mark the highest."""
    most = reading.lags_ms[-1]
    axes = Axes(_LAGS, -most, most, 0.0)
    write(pen, (_LAGS[0], _LAGS[1] - 24), "score at each lag of the audio", 14, DIM)
    draw_panel(pen, axes, ticks(-most, most), "ms")
    for level, colour in ((0.0, GRID), (reading.chance, _WARNING)):
        draw_dashes(pen, axes.points(np.array([-most, most]), np.array([level, level])), colour)
    pen.line(axes.points(reading.lags_ms, reading.scores), INK, 2 * FINE, "curve")
    ((x, y),) = axes.points(np.array([reading.lag_ms]), np.array([reading.scores.max()]))
    pen.line([x, _LAGS[1] * FINE, x, _LAGS[3] * FINE], _BEST, FINE)
    pen.ellipse([x - 5 * FINE, y - 5 * FINE, x + 5 * FINE, y + 5 * FINE], _BEST)


def _draw_picture(sheet: Image.Image, pen: ImageDraw.ImageDraw, reading: SyncReading, frames: Pictures) -> None:
    """Draw the frame in which the mouth moves most, and the part that was measured."""
    index = int(reading.movement.argmax())
    picture = Image.fromarray(to_bytes(frames[index]))
    x0, y0, x1, y1 = (side * FINE for side in _PICTURE)
    scale = min((x1 - x0) / picture.width, (y1 - y0) / picture.height)
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    left, top = (x0 + x1 - size[0]) // 2, (y0 + y1 - size[1]) // 2
    sheet.paste(picture.resize(size, Image.Resampling.BICUBIC), (left, top))
    if not reading.score:
        return
    corners = np.clip(reading.boxes[index] * scale, 0, (*size, *size)) + np.array([left, top, left, top])
    pen.rectangle([float(side) for side in corners], outline=_MOUTH, width=2 * FINE)
    write(pen, (_PICTURE[0], _PICTURE[1] - 23), "measured here", 14, DIM)


def _stretch(curve: np.ndarray) -> np.ndarray:
    """Scale a curve to [0, 1]; a constant one becomes 0."""
    low, high = np.nanmin(curve), np.nanmax(curve)
    return (curve - low) / max(high - low, 1e-9)
