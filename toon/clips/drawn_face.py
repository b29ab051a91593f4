"""Drawing of the head without the mouth: ears, eyes, brows, nose, neck and shirt."""

from dataclasses import dataclass

import numpy as np

from .appearance import Appearance, shade
from .canvas import Canvas, oval
from .speech import Emotion, Expression

_BROW_LIFT = {Emotion.CALM: 0.0, Emotion.HAPPY: 0.07, Emotion.ANGRY: -0.06}
_BROW_SLOPE = {Emotion.CALM: 0.02, Emotion.HAPPY: 0.05, Emotion.ANGRY: -0.13}
"""Lift of the brows, and lift of their inner ends, in head radii."""
_GAZE_REACH = np.array([0.075, 0.04])
"""Farthest shift of a pupil, in head radii and sizes of the eyes."""
_SQUINT = {Emotion.CALM: 0.0, Emotion.HAPPY: 0.0, Emotion.ANGRY: 0.28}
_INK = (58.0, 44.0, 48.0)


@dataclass(frozen=True)
class Pose:
    """Position of the head and the face in one frame, in shares of the picture's side.

    Attributes:
        head: Middle of the head, (2,).
        face: Shift of the face's features on the head, (2,).
        lids: Closure of the eyelids, 0 to 1.
        gaze: Shift of the pupils, -1 to 1, (2,).
        brows: Rise of the brows beyond the expression's, head radii.
    """

    head: np.ndarray
    face: np.ndarray
    lids: float
    gaze: np.ndarray
    brows: float


def draw_background(size: int, toon: Appearance) -> Canvas:
    """Draw a canvas of one colour with a lighter disc behind the head."""
    canvas = Canvas.blank(size, toon.background)
    canvas.fill(oval(0.5, 0.5, 0.43, 0.43), shade(toon.background, 0.3))
    return canvas


def draw_body(canvas: Canvas, toon: Appearance) -> None:
    """Draw neck and shirt, which do not move."""
    (x, y), radius = toon.center, toon.radius
    chin = y + radius * toon.tall
    canvas.fill(oval(x, chin + 0.55 * radius, 1.3 * radius, 0.5 * radius), toon.shirt)
    canvas.fill(np.array([[x - 1.3 * radius, chin + 0.55 * radius], [x + 1.3 * radius, chin + 0.55 * radius],
                          [x + 1.4 * radius, 1.1], [x - 1.4 * radius, 1.1]]), toon.shirt)  # fmt: skip
    canvas.fill(oval(x, chin + 0.12 * radius, 0.36 * radius, 0.2 * radius), shade(toon.shirt, -0.2))
    canvas.fill(oval(x, chin - 0.08 * radius, 0.28 * radius, 0.36 * radius), shade(toon.skin, -0.16))


def head_outline(toon: Appearance, pose: Pose) -> np.ndarray:
    """Outline of the head, (P, 2)."""
    return oval(*pose.head, toon.radius, toon.radius * toon.tall, toon.jaw)


def draw_head(canvas: Canvas, toon: Appearance, pose: Pose) -> None:
    """Draw ears, head, cheeks and nose."""
    (x, y), radius, height = pose.head, toon.radius, toon.radius * toon.tall
    face_x, face_y = pose.head + pose.face
    for side in (-1, 1):
        ear = x + side * 0.99 * radius - 0.4 * pose.face[0]
        canvas.fill(oval(ear, y + 0.06 * height, 0.17 * radius, 0.21 * radius), shade(toon.skin, -0.08))
        canvas.fill(oval(ear, y + 0.07 * height, 0.09 * radius, 0.12 * radius), shade(toon.skin, -0.2))
    canvas.fill(head_outline(toon, pose), toon.skin)
    blush = tuple(0.78 * skin + 0.22 * pink for skin, pink in zip(toon.skin, (240, 110, 110), strict=True))
    for side in (-1, 1):
        canvas.fill(oval(face_x + side * 0.62 * radius, face_y + 0.21 * height, 0.15 * radius, 0.11 * radius), blush)
    nose = oval(face_x + 0.2 * pose.face[0], face_y + 0.15 * height, 0.1 * radius, 0.075 * radius)
    canvas.fill(nose, shade(toon.skin, -0.17))


def eye_centers(toon: Appearance, pose: Pose) -> np.ndarray:
    """Middles of the left and the right eye in the picture, (2, 2)."""
    middle = pose.head + pose.face + (0, -0.1 * toon.radius)
    return middle + toon.radius * np.array([[-0.4, 0], [0.4, 0]])


def mask_eyes(mask: Canvas, toon: Appearance, pose: Pose) -> None:
    """Fill both eyes with their lids in a mask, open or shut."""
    width, height = _eye_size(toon)
    for eye in eye_centers(toon, pose):
        mask.fill(oval(*eye, 1.06 * width, 1.06 * height), 255)


def _eye_size(toon: Appearance) -> tuple[float, float]:
    """Half the width and half the height of an open eye."""
    return 0.185 * toon.radius * toon.eyes, 0.225 * toon.radius * toon.eyes


def draw_eyes(canvas: Canvas, toon: Appearance, pose: Pose, expression: Expression) -> None:
    """Draw eyes and brows, and glasses if the toon wears them."""
    radius = toon.radius
    eyes = eye_centers(toon, pose)
    shut = max(pose.lids, expression.mix(_SQUINT))
    lift, slope = expression.mix(_BROW_LIFT) + pose.brows, expression.mix(_BROW_SLOPE)
    pupils = np.array([0.35 * pose.face[0], 0]) + pose.gaze * toon.eyes * radius * _GAZE_REACH
    for side, eye in zip((-1, 1), eyes, strict=True):
        _draw_eye(canvas, toon, eye, (side, shut, pupils))
        brow_y = eye[1] - (0.42 + lift) * radius
        across = np.linspace(-1, 1, 7)
        tilt = slope * radius * side * across - 0.05 * radius * (1 - across**2)
        brow = np.stack([eye[0] + 0.22 * radius * across, brow_y + tilt], 1)
        canvas.stroke(brow, shade(toon.hair, -0.35), 0.085 * radius)
        if toon.glasses:
            canvas.stroke(oval(*eye, 0.33 * radius, 0.33 * radius), _INK, 0.045 * radius, closed=True)
    if toon.glasses:
        bridge = eyes.mean(0) + np.array([[-0.07 * radius, 0], [0.07 * radius, 0]])
        canvas.stroke(bridge, _INK, 0.045 * radius)


def _draw_eye(canvas: Canvas, toon: Appearance, eye: np.ndarray, state: tuple[int, float, np.ndarray]) -> None:
    """Draw one eye around its middle; ``state`` is its side, the closure of its lid, and the shift of the pupil."""
    side, shut, pupil_shift = state
    width, height = _eye_size(toon)
    across = np.linspace(-1, 1, 9)
    level = eye[1] + height * (1.6 * shut - 1)
    lid = np.stack(
        [eye[0] + 1.05 * width * across, level + height * (1 - shut) * (1 - np.sqrt(1 - 0.9 * across**2))], 1
    )
    if shut < 0.9:
        canvas.fill(oval(*eye, width, height), (252, 252, 252))
        pupil = eye + pupil_shift + (0, 0.1 * height)
        canvas.fill(oval(*pupil, 0.62 * width, 0.62 * width), toon.iris)
        canvas.fill(oval(*pupil, 0.36 * width, 0.36 * width), (28, 22, 30))
        canvas.fill(oval(pupil[0] + 0.22 * width, pupil[1] - 0.25 * width, 0.18 * width, 0.18 * width), (255, 255, 255))
    if shut > 0:
        cover = oval(*eye, 1.06 * width, 1.06 * height)
        cover[:, 1] = np.minimum(cover[:, 1], np.interp(cover[:, 0], lid[:, 0], lid[:, 1]))
        canvas.fill(cover, shade(toon.skin, -0.06))
    canvas.stroke(lid, _INK, 0.055 * toon.radius if toon.lashes else 0.035 * toon.radius)
    if toon.lashes:
        corner = lid[-1 if side > 0 else 0]
        lash = corner + toon.radius * np.array([[0, 0], [side * 0.09, -0.07]])
        canvas.stroke(lash, _INK, 0.05 * toon.radius)
