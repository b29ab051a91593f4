"""Plot of a retake: the score of a clip over time, before and after, its weak spans, and a picture of each.

Dimension key: F video frames, H picture height, W picture width.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from .plot_panels import (
    BLUE,
    DIM,
    FINE,
    GREEN,
    INK,
    RED,
    WIDTH,
    Axes,
    draw_dashes,
    draw_panel,
    finished,
    new_sheet,
    ticks,
    write,
)
from .span_scores import SpanScores

_MARGIN = 24
_CURVES = (_MARGIN, 96, WIDTH - _MARGIN, 330)
_MARK = "#4a2f33"
_MOST_SHOWN, _COLUMN, _SIDE = 4, 230, 106
_TEXT_TOP, _PICTURE_TOP = 342, 402


@dataclass(frozen=True)
class Retake:
    """One weak span of a clip.

    Attributes:
        start: Start, seconds.
        stop: End, seconds.
        fault: Criterion with the lowest score in it.
        before: Mean score of the clip in it.
        after: Mean score of the best new take in it; None if there is none.
        seed: Seed of the take that it has now; None for the clip's own.
    """

    start: float
    stop: float
    fault: str
    before: float
    after: float | None = None
    seed: int | None = None

    @property
    def in_words(self) -> str:
        """Result in one line."""
        place = f"{self.start:.2f} to {self.stop:.2f} s ({self.fault})"
        if self.after is None:
            return f"{place}: score {self.before:.2f}"
        if self.seed is None:
            return f"{place}: kept, score {self.before:.2f}; the best new take has {self.after:.2f}"
        return f"{place}: score {self.before:.2f}, now {self.after:.2f} with seed {self.seed}"


@dataclass(frozen=True)
class RatedClip:
    """Pictures of a clip, RGB, (F, H, W, 3) uint8, and their scores."""

    frames: np.ndarray
    scores: SpanScores


def draw_retakes(before: RatedClip, after: RatedClip, retakes: Sequence[Retake], threshold: float) -> np.ndarray:
    """Draw a clip before and after its weak spans were sampled anew.

    Args:
        before: The clip as it was.
        after: The clip with its new spans; ``before`` itself if nothing was replaced.
        retakes: Weak spans, in order.
        threshold: Score under which a span is weak.

    Returns:
        The plot, RGB, (540, 960, 3) uint8.
    """
    sheet, pen = new_sheet()
    new = after is not before
    replaced = sum(one.seed is not None for one in retakes)
    title = f"{len(retakes)} weak {'span' if len(retakes) == 1 else 'spans'}, {replaced} replaced"
    write(pen, (_MARGIN, 16), title if retakes else "no weak span", 34, INK)
    _draw_legend(pen, new)
    axes = Axes(_CURVES, 0, before.scores.seconds)
    draw_panel(pen, axes, ticks(0, before.scores.seconds), "s")
    for one in retakes:
        _draw_mark(pen, axes, one)
    draw_dashes(pen, axes.points(np.array([0, axes.right]), np.full(2, threshold)), DIM)
    _draw_score(pen, axes, before.scores, RED if new else BLUE)
    if new:
        _draw_score(pen, axes, after.scores, GREEN)
    for place, one in enumerate(retakes[:_MOST_SHOWN]):
        _draw_span(sheet, pen, _MARGIN + place * _COLUMN, one, [before, after] if new else [before])
    if len(retakes) > _MOST_SHOWN:
        more = f"the first {_MOST_SHOWN} of {len(retakes)} are shown"
        write(pen, (WIDTH - 240, 28), more, 14, DIM)
    return finished(sheet)


def _draw_legend(pen: ImageDraw.ImageDraw, new: bool) -> None:
    """Name the curves."""
    entries = [("score before", RED), ("score after", GREEN)] if new else [("score", BLUE)]
    for place, (name, colour) in enumerate([*entries, ("weak span", _MARK)]):
        left = _MARGIN + 150 * place
        pen.line([left * FINE, 82 * FINE, (left + 22) * FINE, 82 * FINE], colour, (12 if colour == _MARK else 3) * FINE)
        write(pen, (left + 30, 73), name, 14, DIM)
    write(pen, (_MARGIN + 150 * (len(entries) + 1), 73), "dashed: threshold", 14, DIM)


def _draw_mark(pen: ImageDraw.ImageDraw, axes: Axes, one: Retake) -> None:
    """Shade a weak span."""
    (left, top), (right, bottom) = axes.points(np.array([one.start, one.stop]), np.array([axes.high, axes.low]))
    pen.rectangle([left, top, right, bottom], _MARK)


def _draw_score(pen: ImageDraw.ImageDraw, axes: Axes, scores: SpanScores, colour: str) -> None:
    """Draw the lowest score around each frame."""
    times = (np.arange(len(scores.lowest)) + 0.5) / scores.fps
    pen.line(axes.points(times, scores.lowest), colour, 3 * FINE, "curve")


def _draw_span(
    sheet: Image.Image, pen: ImageDraw.ImageDraw, left: int, one: Retake, clips: Sequence[RatedClip]
) -> None:
    """Draw the numbers of a weak span, and the picture in its middle, before and after."""
    write(pen, (left, _TEXT_TOP), f"{one.start:.2f} to {one.stop:.2f} s: {one.fault}", 14, INK)
    after = "" if one.after is None else f" -> {one.after:.2f}"
    kept = "" if one.after is None else "  kept" if one.seed is None else f"  seed {one.seed}"
    write(pen, (left, _TEXT_TOP + 20), f"{one.before:.2f}{after}{kept}", 14, DIM if one.seed is None else GREEN)
    for place, clip in enumerate(clips):
        middle = min(int((one.start + one.stop) / 2 * clip.scores.fps), len(clip.frames) - 1)
        picture = Image.fromarray(clip.frames[middle])
        scale = min(_SIDE / picture.width, _SIDE / picture.height) * FINE
        size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
        write(pen, (left + place * (_SIDE + 4), _PICTURE_TOP - 18), ("before", "after")[place], 12, DIM)
        sheet.paste(
            picture.resize(size, Image.Resampling.BICUBIC), ((left + place * (_SIDE + 4)) * FINE, _PICTURE_TOP * FINE)
        )
