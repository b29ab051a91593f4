"""Clips of a talking toon from a seed: frames, waveform, masks and texts.

Dimension key: F video frames, H picture height, W picture width, N samples.
"""

from dataclasses import dataclass, replace

import numpy as np

from uniavgen_core.shapes import FPS, SAMPLE_RATE

from .appearance import Appearance, Colour, draw_appearance
from .canvas import SUPERSAMPLING, Canvas
from .drawn_face import Pose, draw_background, draw_body, draw_eyes, draw_head, head_outline, mask_eyes
from .drawn_mouth import MouthShape, draw_mouth, mask_mouth, mouth_at
from .hair import draw_back_hair, draw_front_hair
from .motion import MOVEMENTS, Motion, draw_motion, write_caption
from .speech import Expression, ToonSpeech, make_speech
from .world import STEADY, World

_LOOK_STREAM = 1
_BROW_RISE = 0.012
"""Rise of the brows, head radii for each dB of emphasis."""


@dataclass(frozen=True)
class ToonClip:
    """One clip with its annotations.

    Attributes:
        frames: Frames at 16 fps, RGB, (F, H, W, 3) uint8.
        waveform: Waveform at 24 kHz, (N,) float32.
        face_mask: Mask of the head, 0 to 255, (F, H, W) uint8.
        mouth_mask: Mask of lips and mouth, 0 to 255, (F, H, W) uint8.
        eye_mask: Mask of both eyes with their lids, 0 to 255, (F, H, W) uint8.
        mouth_center: Middle of the closed mouth, pixels (x, y), (F, 2) float32.
        face_radius: Half the width of the head, pixels.
        mouth_open: Opening of the mouth, 0 to 1, (F,) float32.
        lids: Closure of the eyelids, 0 to 1, (F,) float32.
        gaze: Shift of the pupils to the viewer's right and downwards, -1 to 1, (F, 2) float32.
        caption: Caption of appearance, emotion and movement.
        voice: Index into ``VOICES``.
        emotion: One of ``Emotion``.
        hair: Name of the hair colour.
        movement: One of ``MOVEMENTS``.
    """

    frames: np.ndarray
    waveform: np.ndarray
    face_mask: np.ndarray
    mouth_mask: np.ndarray
    eye_mask: np.ndarray
    mouth_center: np.ndarray
    face_radius: float
    mouth_open: np.ndarray
    lids: np.ndarray
    gaze: np.ndarray
    transcript: str
    caption: str
    voice: int
    emotion: int
    seed: int
    hair: str = ""
    movement: str = ""

    def window(self, first: int, count: int) -> "ToonClip":
        """Take ``count`` frames from frame ``first``, with their sound."""
        frames, samples = slice(first, first + count), SAMPLE_RATE // FPS
        names = ("frames", "face_mask", "mouth_mask", "eye_mask", "mouth_center", "mouth_open", "lids", "gaze")
        return replace(
            self,
            waveform=self.waveform[first * samples : (first + count) * samples],
            **{name: getattr(self, name)[frames] for name in names},
        )


def make_clip(
    seed: int, video_frames: int = 33, size: int = 128, split: str = "train", world: World = STEADY
) -> ToonClip:
    """Generate a clip. The same arguments always give the same clip.

    Args:
        seed: Seed of the clip.
        video_frames: Frames at 16 fps.
        size: Side of the square picture, pixels, a multiple of 32.
        split: Split of the sentences, ``train`` or ``held_out``.
        world: Words, and what is left to chance.

    Returns:
        The clip. ``make_speech`` with the same seed, frames, split and world gives the same sound.

    Raises:
        ValueError: If the size is not a positive multiple of 32, the split is unknown, or the clip is too short.
    """
    if size <= 0 or size % 32:
        raise ValueError(f"size is {size}; it must be a positive multiple of 32.")
    return film(make_speech(seed, video_frames, split, world=world), seed, size, world=world)


def film(
    speech: ToonSpeech,
    seed: int,
    size: int = 128,
    looks: int | None = None,
    background: Colour | None = None,
    world: World = STEADY,
) -> ToonClip:
    """Render a toon that speaks.

    Args:
        speech: Sound and mouth movement.
        seed: Seed of the toon's appearance and head movement.
        size: Side of the square picture, pixels, a multiple of 32.
        looks: Voice that the appearance fits; by default the speaking one.
        background: Colour behind the toon; random by default.
        world: Whether movement is left to chance as far as the caption does not tell it.
    """
    rng = np.random.default_rng((seed, _LOOK_STREAM))
    toon = draw_appearance(rng, speech.voice if looks is None else looks)
    if background is not None:
        toon = replace(toon, background=background)
    movement = MOVEMENTS[rng.integers(len(MOVEMENTS))]
    caption = write_caption(rng, speech.emotion, movement, toon.hair_name)
    moving = np.random.default_rng((seed, _LOOK_STREAM, world.chance)) if world.chance else rng
    poses = _poses(toon, draw_motion(moving, movement, len(speech.mouth_open), world), speech)
    centers = np.stack([pose.head + 1.15 * pose.face + (0, 0.5 * toon.radius * toon.tall) for pose in poses])
    shapes = zip(centers, speech.mouth_open, speech.mouth_spread, strict=True)
    mouths = [mouth_at(center, toon.radius, opening, spread, speech.expression) for center, opening, spread in shapes]
    empty = draw_background(size, toon)
    pictures = [
        _draw_frame(empty, toon, pose, mouth, speech.expression) for pose, mouth in zip(poses, mouths, strict=True)
    ]
    frames, *masks = (np.stack(layer) for layer in zip(*pictures, strict=True))
    # The middles of canvas pixels have integer coordinates, so blocks of SUPERSAMPLING pixels begin half a pixel early.
    mouth_center = (centers * size - 0.5 * (1 - 1 / SUPERSAMPLING)).astype(np.float32)
    return ToonClip(
        frames, speech.waveform, *masks, mouth_center, float(toon.radius * size), speech.mouth_open, *_eyes(poses),
        speech.transcript, caption, speech.voice, speech.emotion, seed, toon.hair_name, movement,
    )  # fmt: skip


def _poses(toon: Appearance, motion: Motion, speech: ToonSpeech) -> list[Pose]:
    """Pose of the head in every frame; brows rise with the emphasis of the voice."""
    radius, center = toon.radius, np.array(toon.center)
    head = np.stack([0.08 * motion.yaw, 0.07 * motion.pitch + 0.012 * motion.bob], 1) * radius + center
    face = np.stack([0.22 * motion.yaw, 0.13 * motion.pitch], 1) * radius
    brows = _BROW_RISE * speech.delivery.gain_db(np.arange(len(head)) / FPS)
    return [Pose(*pose) for pose in zip(head, face, motion.lids, motion.gaze, brows, strict=True)]


def _eyes(poses: list[Pose]) -> tuple[np.ndarray, np.ndarray]:
    """Closure of the lids and gaze in every frame, (F,) and (F, 2)."""
    return np.float32([pose.lids for pose in poses]), np.float32([pose.gaze for pose in poses])


def _draw_frame(
    background: Canvas, toon: Appearance, pose: Pose, mouth: MouthShape, expression: Expression
) -> tuple[np.ndarray, ...]:
    """Draw the picture of one frame and its masks of face, mouth and eyes."""
    canvas, size = background.copy(), background.pixels.shape[0] // SUPERSAMPLING
    draw_back_hair(canvas, toon, *pose.head)
    draw_body(canvas, toon)
    draw_head(canvas, toon, pose)
    draw_eyes(canvas, toon, pose, expression)
    draw_mouth(canvas, toon, mouth)
    draw_front_hair(canvas, toon, *pose.head, pose.face[0])
    face_mask, mouth_mask, eye_mask = (Canvas.blank(size) for _ in range(3))
    face_mask.fill(head_outline(toon, pose), 255)
    mask_mouth(mouth_mask, mouth)
    mask_eyes(eye_mask, toon, pose)
    return canvas.picture(), face_mask.picture(), mouth_mask.picture(), eye_mask.picture()
