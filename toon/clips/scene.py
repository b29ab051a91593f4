"""Scenes of a toon whose speech begins immediately, later, or after an earlier sentence that the clip continues.

Dimension key: F video frames, H picture height, W picture width.
"""

from dataclasses import dataclass, replace

import numpy as np

from uniavgen_core.shapes import FPS, TEMPORAL_FACTOR

from .clip import ToonClip, film
from .delivery import Delivery, draw_delivery
from .sentence import FEWEST_FRAMES
from .speech import VOICES, Emotion, Line, ToonSpeech, draw_line, recite, retell
from .world import STEADY, World

VIDEO_FRAMES = 33
_SCENE_STREAM = 2
_LATER, _CONTINUED = 0.15, 0.35
"""Shares of scenes whose speech begins later, and of continued scenes."""
_STRANGE_LOOKS = 0.35
"""Share of toons whose appearance does not fit their voice, so that the model must use the reference voice."""
_LATEST_SECONDS = 1.0
_KEPT_LATENTS = (2, 5)
_SILENT = 0.25
"""Share of continued scenes without earlier speech."""
_PAUSE_SECONDS = (0.05, 0.5)


@dataclass(frozen=True)
class ToonScene:
    """A clip with the time of its sentence.

    Attributes:
        clip: The clip. Its transcript is the sentence that begins at ``start``, without earlier speech.
        start: Earliest start of that sentence, seconds from the clip's first frame.
        end: End of that sentence, seconds.
        earlier: Picture of the toon at rest, from before the clip, RGB, (H, W, 3) uint8.
        kept_latents: Latent frames before the sentence in a continued scene; 0 in others.
        fits: Whether the appearance fits the voice.
    """

    clip: ToonClip
    start: float
    end: float
    earlier: np.ndarray
    kept_latents: int
    fits: bool


def kept_frames(latents: int) -> int:
    """Video frames of the first ``latents`` latent frames of a clip."""
    return TEMPORAL_FACTOR * (latents - 1) + 1


def make_scene(
    seed: int, split: str = "train", size: int = 128, world: World = STEADY, video_frames: int = VIDEO_FRAMES
) -> ToonScene:
    """Generate a scene. The same arguments always give the same scene.

    Args:
        seed: Seed of the scene.
        split: Split of the sentences, ``train`` or ``held_out``.
        size: Side of the square picture, pixels, a multiple of 32.
        world: Words, and what is left to chance. Of a scene that continues another, ``chance`` changes the movement
            alone.
        video_frames: Length at 16 fps.

    Returns:
        The scene.
    """
    studio = _Studio(np.random.default_rng((seed, _SCENE_STREAM)), seed, split, size, world, video_frames)
    kind = studio.rng.random()
    if kind < _CONTINUED:
        return _continued_scene(studio)
    latest = min(_LATEST_SECONDS, (video_frames - FEWEST_FRAMES) / FPS)
    start = float(studio.rng.uniform(0, latest)) if kind < _CONTINUED + _LATER else 0.0
    delivery = draw_delivery(studio.rng, world)
    room = video_frames - int(start * FPS)
    line = studio.line(start, room, delivery)
    if world.chance:
        line, delivery = retell(np.random.default_rng((seed, _SCENE_STREAM, world.chance)), line, room, delivery, world)
    speech, looks = studio.cast([line], video_frames, delivery)
    clip = film(speech, seed, size, looks, world=world)
    return ToonScene(clip, start, speech.end, clip.frames[0], 0, looks is None)


@dataclass(frozen=True)
class _Studio:
    """Arguments and randomness of one scene."""

    rng: np.random.Generator
    seed: int
    split: str
    size: int
    world: World
    video_frames: int

    def line(self, start: float, room: int, delivery: Delivery) -> Line:
        """Sentence that is said within ``room`` frames from ``start`` on."""
        return draw_line(self.rng, start, room, self.split, delivery, self.world)

    def cast(self, lines: list[Line], frames: int, delivery: Delivery) -> tuple[ToonSpeech, int | None]:
        """Lines in a random voice and emotion, and the voice that the appearance fits, None for the same."""
        voice, emotion = int(self.rng.integers(len(VOICES))), int(self.rng.integers(len(Emotion)))
        looks = int(self.rng.integers(len(VOICES))) if self.rng.random() < _STRANGE_LOOKS else None
        return recite(lines, voice, emotion, frames, self.seed, delivery), looks


def _continued_scene(studio: _Studio) -> ToonScene:
    """Generate a scene whose first latent frames hold the end of an earlier sentence, or silence."""
    rng, length = studio.rng, studio.video_frames
    most = min(_KEPT_LATENTS[1], (length - FEWEST_FRAMES - 1) // TEMPORAL_FACTOR + 1)
    latents = int(rng.integers(_KEPT_LATENTS[0], max(_KEPT_LATENTS[0], most) + 1))
    frames, delivery = kept_frames(latents), draw_delivery(rng, studio.world)
    told, lines = studio.line(0.0, length - frames, delivery), []
    first = int(rng.integers(length))
    if rng.random() >= _SILENT:
        lines = [studio.line(0.0, length, delivery)]
        ends = recite(lines, 0, Emotion.CALM, 2 * length, 0, delivery).end + rng.uniform(*_PAUSE_SECONDS)
        first = max(0, int(np.ceil(ends * FPS)) - frames)
    lines.append(replace(told, start=(first + frames) / FPS))
    speech, looks = studio.cast(lines, first + length, delivery)
    whole = film(speech, studio.seed, studio.size, looks, world=studio.world)
    clip = replace(whole.window(first, length), transcript=told.transcript)
    return ToonScene(clip, frames / FPS, speech.end - first / FPS, whole.frames[0], latents, looks is None)
