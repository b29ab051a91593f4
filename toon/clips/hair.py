"""Drawing of the hair, behind the head and on top of it."""

import numpy as np

from .appearance import Appearance, shade
from .canvas import Canvas, oval


def draw_back_hair(canvas: Canvas, toon: Appearance, x: float, y: float) -> None:
    """Draw the hair behind a head whose middle is at (x, y)."""
    radius, height, dark = toon.radius, toon.radius * toon.tall, shade(toon.hair, -0.18)
    if toon.hair_style == "long":
        canvas.fill(_curtain(x, y, 1.2 * radius, 1.35 * height), dark)
    elif toon.hair_style == "bob":
        canvas.fill(_curtain(x, y, 1.24 * radius, 0.72 * height), dark)
    elif toon.hair_style == "pigtails":
        for side in (-1, 1):
            canvas.fill(oval(x + side * 1.22 * radius, y + 0.3 * height, 0.3 * radius, 0.58 * height), dark)
    elif toon.hair_style == "bun":
        canvas.fill(oval(x, y - 1.1 * height, 0.36 * radius, 0.3 * radius), dark)
    elif toon.hair_style == "curly":
        for angle in np.linspace(-0.15, np.pi + 0.15, 9):
            center = x + 0.98 * radius * np.cos(angle), y - 0.12 * height - 0.88 * height * np.sin(angle)
            canvas.fill(oval(*center, 0.3 * radius, 0.3 * radius), dark)


def draw_front_hair(canvas: Canvas, toon: Appearance, x: float, y: float, turn: float) -> None:
    """Draw the cap of hair over a head whose middle is at (x, y); ``turn`` shifts the hairline with the face."""
    radius, height = toon.radius, toon.radius * toon.tall
    angles = np.linspace(np.pi * 0.98, 0.02 * np.pi, 33)
    swell = np.full(33, 1.07)
    if toon.hair_style == "spiky":
        swell = 1.06 + 0.14 * (np.arange(33) % 4 == 2)
    elif toon.hair_style == "curly":
        swell = 1.09 + 0.04 * np.abs(np.sin(np.arange(33) * np.pi / 4))
    outer = np.stack([x + 1.01 * radius * swell * np.cos(angles), y - height * swell * np.sin(angles)], 1)
    across = np.linspace(1.02, -1.02, 33)
    line = y - height * _hairline(toon.hair_style, across)
    inner = np.stack([x + across * radius * 0.99 + turn * (1 - across**2).clip(0), line], 1)
    canvas.fill(np.concatenate([outer, inner]), toon.hair)


def _hairline(style: str, across: np.ndarray) -> np.ndarray:
    """Height of the hairline over the middle of the head, as a share of its half height, from temple to temple."""
    dome = np.sqrt((1.04 - across**2).clip(0))
    if style == "parted":
        return 0.1 + 0.5 * dome * (1 - 0.35 * across)
    if style == "spiky":
        return 0.08 + 0.52 * dome - 0.1 * (np.arange(across.size) % 6 < 3) * dome
    if style in ("long", "pigtails"):
        return 0.02 + 0.68 * dome * (1 - 0.4 * np.exp(-18 * (across - 0.25) ** 2)) ** 0.5
    if style == "bob":
        return 0.04 + 0.46 * np.clip(2.2 * dome, 0, 1)
    return 0.1 + 0.5 * dome


def _curtain(x: float, y: float, half_width: float, drop: float) -> np.ndarray:
    """Outline of hair that hangs around a head at (x, y): a dome above, rounded corners ``drop`` below."""
    angles = np.linspace(np.pi, 0, 25)
    dome = np.stack([x + half_width * np.cos(angles), y - 1.08 * half_width * np.sin(angles)], 1)
    corner = np.linspace(0, np.pi / 2, 7)
    bend = 0.35 * half_width
    right_x, right_y = half_width - bend * (1 - np.cos(corner)), drop - bend * (1 - np.sin(corner))
    right = np.stack([x + right_x, y + right_y], 1)
    left = np.stack([x - right_x[::-1], y + right_y[::-1]], 1)
    return np.concatenate([dome, right, left])
