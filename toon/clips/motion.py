"""Head movement of a toon, and its caption. Left and right are the viewer's."""

from dataclasses import dataclass

import numpy as np

from uniavgen_core.shapes import FPS

from .speech import Emotion
from .world import STEADY, World

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
_BLINK_PAUSES = (0.4, 2.6)
_LATEST_MOVEMENT, _SPEEDS, _SIZES = 0.5, (0.75, 1.05), (0.7, 1.0)
_SWAY, _SWAY_HERTZ = 0.18, (0.25, 0.8)
_GAZE_SECONDS, _LOOKS_AWAY = (0.35, 1.4), 0.6


@dataclass(frozen=True)
class Motion:
    """Pose of the head and the eyes in every video frame; each (F,) but the gaze.

    Attributes:
        yaw: Turn to the viewer's right, -1 to 1.
        pitch: Nod downwards, -1 to 1.
        bob: Rise and fall of the whole head, -1 to 1.
        lids: Closure of the eyelids, 0 to 1.
        gaze: Shift of the pupils to the viewer's right and downwards, each -1 to 1, (F, 2).
    """

    yaw: np.ndarray
    pitch: np.ndarray
    bob: np.ndarray
    lids: np.ndarray
    gaze: np.ndarray


@dataclass(frozen=True)
class _Pace:
    """Timing of a movement, as drawn by chance: its start in seconds, factor of its speed, and size."""

    start: float = 0.0
    speed: float = 1.0
    size: float = 1.0


def draw_motion(rng: np.random.Generator, movement: str, video_frames: int, world: World = STEADY) -> Motion:
    """Pose of the head over time, as the caption says it; frame 0 looks straight ahead with open eyes.

    Args:
        rng: Source of randomness: of the blinks, and in a lively world of pace, sways and gaze.
        movement: One of ``MOVEMENTS``.
        video_frames: Frames at 16 fps.
        world: Whether chance decides more than the blinks.
    """
    seconds = np.arange(video_frames) / FPS
    if not world.lively:
        blinks = np.arange(rng.uniform(0.4, 1.8), seconds[-1] + 1, 2.4)
        yaw, pitch = _moved(movement, seconds, _Pace())
        bob = np.sin(2 * np.pi * _BOB_HERTZ * seconds)
        return Motion(yaw, pitch, bob, _lids(seconds, blinks), np.zeros((video_frames, 2)))
    blinks = np.cumsum(rng.uniform(*_BLINK_PAUSES, 2 + int(seconds[-1] / _BLINK_PAUSES[0])))
    pace = _Pace(rng.uniform(0, _LATEST_MOVEMENT), rng.uniform(*_SPEEDS), rng.uniform(*_SIZES))
    yaw, pitch = _moved(movement, seconds, pace)
    sway_yaw, sway_pitch, bob = (_sway(rng, seconds) for _ in range(3))
    gaze = _gaze(rng, seconds)
    return Motion(yaw + _SWAY * sway_yaw, pitch + _SWAY * sway_pitch, bob, _lids(seconds, blinks), gaze)


def _moved(movement: str, seconds: np.ndarray, pace: _Pace) -> tuple[np.ndarray, np.ndarray]:
    """Yaw and pitch of a movement at times (F,), each (F,)."""
    since = pace.speed * np.clip(seconds - pace.start, 0, None)
    turn = np.clip(since / _TURN_SECONDS, 0, 1)
    turn = turn * turn * (3 - 2 * turn)
    yaw = {"shakes": np.sin(2 * np.pi * _SHAKE_HERTZ * since), "left": -turn, "right": turn}
    nod = 0.5 - 0.5 * np.cos(2 * np.pi * _NOD_HERTZ * since)
    still = np.zeros(len(seconds))
    return pace.size * yaw.get(movement, still), pace.size * (nod if movement == "nods" else still)


def _lids(seconds: np.ndarray, blinks: np.ndarray) -> np.ndarray:
    """Closure of the eyelids at times (F,), which is 1 at the times of the blinks."""
    return np.clip(1.4 - np.abs(seconds[:, None] - blinks).min(1) / (_BLINK_SECONDS / 2), 0, 1)


def _sway(rng: np.random.Generator, seconds: np.ndarray) -> np.ndarray:
    """Slow irregular movement of the head, 0 at first, -1 to 1, (F,)."""
    rates, sizes = rng.uniform(*_SWAY_HERTZ, 2), rng.uniform(0.2, 0.5, 2) * rng.choice((-1, 1), 2)
    return (sizes * np.sin(2 * np.pi * rates * seconds[:, None])).sum(1)


def _gaze(rng: np.random.Generator, seconds: np.ndarray) -> np.ndarray:
    """Place that the eyes look at: the camera, and now and then a place beside it, (F, 2)."""
    starts = np.cumsum(rng.uniform(*_GAZE_SECONDS, 2 + int(seconds[-1] / _GAZE_SECONDS[0])))
    targets = rng.uniform(-1, 1, (len(starts) + 1, 2)) * (rng.random((len(starts) + 1, 1)) < _LOOKS_AWAY)
    targets[0] = 0
    return targets[np.searchsorted(starts, seconds, side="right")]


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
