"""Two toons side by side, of which one or both speak, each at its own time.

Dimension key: F video frames, H picture height, W picture width.
"""

from dataclasses import dataclass

import numpy as np

from uniavgen_core.shapes import FPS

from .appearance import BACKGROUNDS
from .clip import ToonClip, film
from .delivery import Delivery, draw_delivery
from .motion import PHRASES
from .scene import VIDEO_FRAMES
from .speech import VOICES, Emotion, Line, ToonSpeech, draw_line, recite
from .world import STEADY, World

_PAIR_STREAM = 3
_BOTH_SPEAK, _TOGETHER = 0.4, 0.5
_ONE_WALL = 0.5
"""Share of pairs with a common background."""
_LATEST_SECONDS = 1.0
_EARLY = 0.5
"""Share of single speakers that begin immediately."""


@dataclass(frozen=True)
class ToonPair:
    """Two toons in one picture.

    Attributes:
        clips: The toons, left first, as single clips; one that does not speak has an empty transcript.
        starts: Start of each sentence, seconds.
        ends: End of each sentence, seconds; 0 for a toon that does not speak.
        caption: Caption of both toons.
    """

    clips: tuple[ToonClip, ToonClip]
    starts: tuple[float, float]
    ends: tuple[float, float]
    caption: str

    @property
    def frames(self) -> np.ndarray:
        """Frames of both toons, RGB, (F, H, 2 H, 3) uint8."""
        return np.concatenate([clip.frames for clip in self.clips], axis=2)

    @property
    def speakers(self) -> tuple[int, ...]:
        """Indices of the toons that speak: 0 is left, 1 is right."""
        return tuple(side for side in (0, 1) if self.clips[side].transcript)

    def face_mask(self, side: int) -> np.ndarray:
        """Mask of the head of one toon, 0 to 255, (F, H, 2 H) uint8."""
        return self._placed(self.clips[side].face_mask, side)

    def mouth_mask(self, side: int) -> np.ndarray:
        """Mask of the lips of one toon, 0 to 255, (F, H, 2 H) uint8."""
        return self._placed(self.clips[side].mouth_mask, side)

    def eye_mask(self, side: int) -> np.ndarray:
        """Mask of the eyes of one toon, 0 to 255, (F, H, 2 H) uint8."""
        return self._placed(self.clips[side].eye_mask, side)

    def mouth_center(self, side: int) -> np.ndarray:
        """Middle of one toon's closed mouth in the picture, pixels (x, y), (F, 2)."""
        clip = self.clips[side]
        return clip.mouth_center + np.float32([side * clip.frames.shape[2], 0])

    @staticmethod
    def _placed(mask: np.ndarray, side: int) -> np.ndarray:
        halves = [np.zeros_like(mask)] * 2
        halves[side] = mask
        return np.concatenate(halves, axis=2)


def make_pair(seed: int, split: str = "train", size: int = 128, world: World = STEADY) -> ToonPair:
    """Generate a pair of 33 frames with two voices. The same arguments always give the same pair.

    Args:
        seed: Seed of the pair.
        split: Split of the sentences, ``train`` or ``held_out``.
        size: Height of the picture and half its width, pixels, a multiple of 32.
        world: Words, and what is left to chance.
    """
    rng = np.random.default_rng((seed, _PAIR_STREAM))
    voices = rng.choice(len(VOICES), 2, replace=False)
    deliveries = [draw_delivery(rng, world) for _ in voices]
    lines = _draw_lines(rng, split, deliveries, world)
    speeches = [
        recite(spoken, int(voice), int(rng.integers(len(Emotion))), VIDEO_FRAMES, seed + side, delivery)
        for side, (spoken, voice, delivery) in enumerate(zip(lines, voices, deliveries, strict=True))
    ]
    return film_pair(speeches, [spoken[0].start if spoken else 0.0 for spoken in lines], seed, size, world)


def film_pair(
    speeches: list[ToonSpeech], starts: list[float], seed: int, size: int = 128, world: World = STEADY
) -> ToonPair:
    """Render two toons that speak.

    Args:
        speeches: Sound and mouth movement of the left and the right toon.
        starts: Start of each sentence, seconds.
        seed: Seed of appearance and movement.
        size: Height of the picture and half its width, pixels, a multiple of 32.
        world: Whether movement is left to chance as far as the caption does not tell it.

    Returns:
        The pair.
    """
    rng = np.random.default_rng((seed, _PAIR_STREAM, 1))
    wall = BACKGROUNDS[rng.integers(len(BACKGROUNDS))] if rng.random() < _ONE_WALL else None
    left, right = (
        film(speech, 2 * seed + side, size, background=wall, world=world) for side, speech in enumerate(speeches)
    )
    caption = f"On the left, {_describe(left)}. On the right, {_describe(right)}."
    return ToonPair((left, right), tuple(starts), tuple(speech.end for speech in speeches), caption)


def _describe(clip: ToonClip) -> str:
    emotion = Emotion(clip.emotion).name.lower()
    article = "an" if emotion == "angry" else "a"
    doing = "talks" if clip.transcript else "listens"
    return f"{article} {emotion} toon with {clip.hair} hair {PHRASES[clip.movement]} and {doing}"


def _draw_lines(rng: np.random.Generator, split: str, deliveries: list[Delivery], world: World) -> list[list[Line]]:
    """Sample the lines of both toons: one at any time, or one early and one late, or of lively ones both at once."""
    order = (0, 1) if rng.random() < 0.5 else (1, 0)
    if rng.random() < _BOTH_SPEAK:
        starts = (float(rng.uniform(0, 0.2)), float(rng.uniform(0.8, _LATEST_SECONDS)))
        together = world.lively and rng.random() < _TOGETHER
        starts = (starts[0], starts[0]) if together else starts
    else:
        starts = (0.0 if rng.random() < _EARLY else float(rng.uniform(0, _LATEST_SECONDS)),)
    lines: list[list[Line]] = [[], []]
    for place, start in enumerate(starts):
        room = FPS if len(set(starts)) == 2 else VIDEO_FRAMES - int(start * FPS)
        side = order[place]
        lines[side] = [draw_line(rng, start, room, split, deliveries[side], world)]
    return lines
