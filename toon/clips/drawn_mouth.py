"""Drawing of the mouth: lips, teeth and tongue."""

from dataclasses import dataclass

import numpy as np

from .appearance import Appearance, Colour, shade
from .canvas import Canvas
from .speech import Emotion, Expression

_INSIDE: Colour = (84, 22, 34)
_TEETH: Colour = (250, 246, 240)
_TONGUE: Colour = (226, 120, 124)
_CORNERS = {Emotion.CALM: 0.03, Emotion.HAPPY: 0.1, Emotion.ANGRY: -0.07}
_ACROSS = np.linspace(-1, 1, 17)
_BULGE = (1 - _ACROSS**2) ** 0.7


@dataclass(frozen=True)
class MouthShape:
    """Edges of the opening between the lips, from the viewer's left to right, each (17, 2)."""

    upper: np.ndarray
    lower: np.ndarray
    lip: float
    gap: float

    @property
    def outline(self) -> np.ndarray:
        """Outline of the opening, (34, 2)."""
        return np.concatenate([self.upper, self.lower[::-1]])


def mouth_at(center: np.ndarray, radius: float, opening: float, spread: float, expression: Expression) -> MouthShape:
    """Shape of a mouth.

    Args:
        center: Middle of the closed mouth, (2,).
        radius: Half the width of the head.
        opening: 0 shut to 1 wide open.
        spread: 0 round to 1 wide.
        expression: It lifts or drops the corners.

    Returns:
        The edges of the opening, in the units of ``radius``.
    """
    half_width = radius * (0.37 + 0.18 * (spread - 0.5) * (0.4 + 0.6 * opening) - 0.05 * opening)
    gap = 0.62 * radius * opening
    middle = center[1] - expression.mix(_CORNERS) * radius * (_ACROSS**2 - 0.4)
    x = center[0] + half_width * _ACROSS
    upper = np.stack([x, middle - 0.35 * gap * _BULGE], 1)
    lower = np.stack([x, middle + 0.65 * gap * _BULGE], 1)
    return MouthShape(upper, lower, lip=0.075 * radius, gap=gap)


def draw_mouth(canvas: Canvas, toon: Appearance, shape: MouthShape) -> None:
    """Draw a mouth with teeth and tongue in its opening."""
    red = (178.0, 52.0, 66.0) if toon.lashes else (164.0, 72.0, 70.0)
    lips = tuple(0.7 * tint + 0.3 * skin for tint, skin in zip(red, toon.skin, strict=True))
    if shape.gap < 0.02 * toon.radius:
        canvas.stroke(shape.upper, shade(lips, -0.06), shape.lip * 0.8)
        return
    canvas.fill(shape.outline, _INSIDE)
    inner = slice(3, 14)
    if shape.gap > 0.15 * toon.radius:
        rise = 0.32 * shape.gap * _BULGE[inner, None] ** 2
        tongue = np.concatenate([shape.lower[inner], (shape.lower[inner] - rise * (0, 1))[::-1]])
        canvas.fill(tongue, _TONGUE)
    teeth = min(0.09 * toon.radius, 0.28 * shape.gap)
    canvas.fill(np.concatenate([shape.upper[inner], (shape.upper[inner] + (0, teeth))[::-1]]), _TEETH)
    canvas.stroke(shape.outline, lips, shape.lip * 0.8, closed=True)


def mask_mouth(mask: Canvas, shape: MouthShape) -> None:
    """Fill lips and opening in a mask."""
    mask.fill(shape.outline, 255)
    mask.stroke(shape.outline, 255, shape.lip * 0.8, closed=True)
