"""Head movement of a toon, and its caption. Left and right are the viewer's."""

from dataclasses import dataclass

import numpy as np

from uniavgen_core.shapes import FPS

from .speech import Emotion

MOVEMENTS = ("still", "nods", "shakes", "left", "right")
PHRASES = {
    "still": "holds its head still",
    "nods": "nods",
    "shakes": "shakes its head",
    "left": "looks to the left",
    "right": "looks to the right",
}
_TEMPLATES = (
    "A {emotion} toon with {hair} hair {movement} while talking to the camera.",
    "A toon with {hair} hair talks to the camera. It is {emotion} and {movement}.",
    "Talking to the camera, a {emotion} toon with {hair} hair {movement}.",
)
_NOD_HERTZ, _SHAKE_HERTZ, _TURN_SECONDS, _BOB_HERTZ = 1.3, 1.5, 0.5, 0.6
_BLINK_SECONDS = 0.16


@dataclass(frozen=True)
class Motion:
    """Pose of the head in every video frame, each (F,).

    Attributes:
        yaw: Turn to the viewer's right, -1 to 1.
        pitch: Nod downwards, -1 to 1.
        bob: Rise and fall of the whole head, -1 to 1.
        lids: Closure of the eyelids, 0 to 1.
    """

    yaw: np.ndarray
    pitch: np.ndarray
    bob: np.ndarray
    lids: np.ndarray


def draw_motion(rng: np.random.Generator, movement: str, video_frames: int) -> Motion:
    """Pose of the head over time. Only the blinks are random, so that the caption determines the rest.

    Args:
        rng: Source of randomness, for the blinks.
        movement: One of ``MOVEMENTS``.
        video_frames: Frames at 16 fps.

    Returns:
        The poses; frame 0 always looks straight ahead with open eyes.
    """
    seconds = np.arange(video_frames) / FPS
    turn = np.clip(seconds / _TURN_SECONDS, 0, 1)
    turn = turn * turn * (3 - 2 * turn)
    yaw = {
        "shakes": np.sin(2 * np.pi * _SHAKE_HERTZ * seconds),
        "left": -turn,
        "right": turn,
    }.get(movement, np.zeros(video_frames))
    nod = 0.5 - 0.5 * np.cos(2 * np.pi * _NOD_HERTZ * seconds)
    pitch = nod if movement == "nods" else np.zeros(video_frames)
    bob = np.sin(2 * np.pi * _BOB_HERTZ * seconds)
    blinks = np.arange(rng.uniform(0.4, 1.8), seconds[-1] + 1, 2.4)
    lids = np.clip(1.4 - np.abs(seconds[:, None] - blinks).min(1) / (_BLINK_SECONDS / 2), 0, 1)
    return Motion(yaw, pitch, bob, lids)


def write_caption(rng: np.random.Generator, emotion: int, movement: str, hair: str) -> str:
    """Describe a toon's appearance, emotion and movement in a caption.

    Args:
        rng: Source of randomness, for the wording.
        emotion: One of ``Emotion``.
        movement: One of ``MOVEMENTS``.
        hair: Name of the hair colour.

    Returns:
        The caption.
    """
    template = _TEMPLATES[rng.integers(len(_TEMPLATES))]
    words = template.format(emotion=Emotion(emotion).name.lower(), hair=hair, movement=PHRASES[movement])
    return words.replace("A angry", "An angry").replace(" a angry", " an angry")
