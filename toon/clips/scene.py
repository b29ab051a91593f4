"""Scenes of a toon whose speech begins immediately, later, or after an earlier sentence that the clip continues.

Dimension key: F video frames, H picture height, W picture width.
"""

from dataclasses import dataclass, replace

import numpy as np

from uniavgen_core.shapes import FPS, TEMPORAL_FACTOR

from .clip import ToonClip, film
from .sentence import draw_sentence
from .speech import VOICES, Emotion, Line, ToonSpeech, recite

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
        start: Start of that sentence, seconds from the clip's first frame.
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


def make_scene(seed: int, split: str = "train", size: int = 128) -> ToonScene:
    """Generate a scene of 33 frames. The same arguments always give the same scene.

    Args:
        seed: Seed of the scene.
        split: Split of the sentences, ``train`` or ``held_out``.
        size: Side of the square picture, pixels, a multiple of 32.

    Returns:
        The scene.
    """
    rng = np.random.default_rng((seed, _SCENE_STREAM))
    kind = rng.random()
    if kind < _CONTINUED:
        return _continued_scene(rng, seed, split, size)
    start = float(rng.uniform(0, _LATEST_SECONDS)) if kind < _CONTINUED + _LATER else 0.0
    room = VIDEO_FRAMES - int(start * FPS)
    lines = [Line(draw_sentence(rng, room, split), start)]
    speech, looks = _cast(rng, lines, VIDEO_FRAMES, seed)
    clip = film(speech, seed, size, looks)
    return ToonScene(clip, start, speech.end, clip.frames[0], 0, looks is None)


def _continued_scene(rng: np.random.Generator, seed: int, split: str, size: int) -> ToonScene:
    """Generate a scene whose first latent frames hold the end of an earlier sentence, or silence."""
    latents = int(rng.integers(_KEPT_LATENTS[0], _KEPT_LATENTS[1] + 1))
    frames = kept_frames(latents)
    sentence, lines = draw_sentence(rng, VIDEO_FRAMES - frames, split), []
    first = int(rng.integers(VIDEO_FRAMES))
    if rng.random() >= _SILENT:
        lines = [Line(draw_sentence(rng, VIDEO_FRAMES, split))]
        ends = recite(lines, 0, Emotion.CALM, 2 * VIDEO_FRAMES).end + rng.uniform(*_PAUSE_SECONDS)
        first = max(0, int(np.ceil(ends * FPS)) - frames)
    lines.append(Line(sentence, (first + frames) / FPS))
    speech, looks = _cast(rng, lines, first + VIDEO_FRAMES, seed)
    whole = film(speech, seed, size, looks)
    clip = replace(whole.window(first, VIDEO_FRAMES), transcript=sentence)
    return ToonScene(clip, frames / FPS, speech.end - first / FPS, whole.frames[0], latents, looks is None)


def _cast(rng: np.random.Generator, lines: list[Line], frames: int, seed: int) -> tuple[ToonSpeech, int | None]:
    """Speak lines in a random voice and emotion; also returns the voice that the appearance fits, None for the same."""
    voice, emotion = int(rng.integers(len(VOICES))), int(rng.integers(len(Emotion)))
    looks = int(rng.integers(len(VOICES))) if rng.random() < _STRANGE_LOOKS else None
    return recite(lines, voice, emotion, frames, seed), looks
