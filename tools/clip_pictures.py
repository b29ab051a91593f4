"""Small pictures of a clip for the documentation: a row of frames above its waveform, and an animated preview.

Uses av, numpy and Pillow, which ComfyUI brings.
Dimension key: F frames, N samples.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .contact_sheet import Clip

GENERATED, OWN, CARD, TEXT = (240, 112, 32), (134, 142, 150), (22, 24, 29), (233, 236, 239)
"""Colors of what is generated and of the user's own media, readable on white and on black; those of a preview."""
ROW_WIDTH, ROW_HEIGHT, GAP, ROUND = 480, 117, 4, 8  # pixels
BAR_HEIGHT, WAVE_HEIGHT = 4, 40
PREVIEW_WIDTH, MARGIN, BUTTON, TEXT_HEIGHT, FONT_SIZE = 320, 14, 32, 46, 18
SMOOTHING = 4  # times the size at which round shapes are drawn
COLUMN, COLUMN_GAP = 3, 1  # pixels of a column of a waveform


@dataclass(frozen=True)
class OwnMedia:
    """Parts of a clip that are the user's own.

    Attributes:
        video_seconds: From the start, this much of the video; infinite for all of it.
        audio_seconds: The same of the audio.
        around: True if the user's own frames stay around a generated region.
    """

    video_seconds: float = 0.0
    audio_seconds: float = 0.0
    around: bool = False


def frames_in_a_row(clip: Clip, own: OwnMedia) -> Image.Image:
    """Draw a row of frames, a bar that tells which of them are generated, and the waveform in the same colors.

    Returns:
        RGBA, ``ROW_WIDTH`` wide, transparent between the frames.
    """
    width = round(ROW_HEIGHT * clip.frames.shape[2] / clip.frames.shape[1])
    count = (ROW_WIDTH + GAP) // (width + GAP)
    picture = Image.new("RGBA", (ROW_WIDTH, ROW_HEIGHT + BAR_HEIGHT + WAVE_HEIGHT + 2 * GAP))
    left = (ROW_WIDTH + GAP - count * (width + GAP)) / 2
    for column, index in enumerate(loudest_frames(clip, count)):
        frame = Image.fromarray(clip.frames[index]).resize((width, ROW_HEIGHT), Image.Resampling.LANCZOS)
        picture.alpha_composite(_rounded(frame), (round(left + column * (width + GAP)), 0))
    bar = Image.fromarray(np.tile(_bar_colors(clip, own), (BAR_HEIGHT, 1, 1)))
    picture.alpha_composite(_rounded(bar, BAR_HEIGHT // 2), (0, ROW_HEIGHT + GAP))
    wave = waveform_columns(clip.sound, (ROW_WIDTH, WAVE_HEIGHT), _share(own.audio_seconds, clip.seconds))
    picture.alpha_composite(wave, (0, ROW_HEIGHT + BAR_HEIGHT + 2 * GAP))
    return picture


def loudest_frames(clip: Clip, count: int) -> list[int]:
    """Index of the frame at the loudest moment of each of ``count`` equal parts of a clip, where mouths are open."""
    loudness = [
        float(np.abs(part).mean()) if part.size else 0.0 for part in np.array_split(clip.sound, len(clip.frames))
    ]
    parts = np.array_split(np.arange(len(clip.frames)), count)
    return [int(max(part, key=lambda index: loudness[index])) for part in parts]


def waveform_columns(sound: np.ndarray, size: tuple[int, int], own: float) -> Image.Image:
    """Draw a waveform as columns.

    Args:
        sound: Samples, (N,).
        size: Width and height, pixels.
        own: Share of it, from the start, that is the user's own.
    """
    width, height = size
    image = Image.new("RGBA", size)
    draw = ImageDraw.Draw(image)
    lefts = range(0, width - COLUMN + 1, COLUMN + COLUMN_GAP)
    peaks = [float(np.abs(part).max(initial=0.0)) for part in np.array_split(sound, len(lefts))]
    for left, peak in zip(lefts, peaks, strict=True):
        half = max(1, round(peak / max(*peaks, 1e-6) * (height / 2 - 1)))
        color = OWN if left < own * width else GENERATED
        draw.rectangle((left, height // 2 - half, left + COLUMN - 1, height // 2 + half - 1), fill=color)
    return image


def preview_frames(clip: Clip, words: str) -> list[Image.Image]:
    """Draw every frame of a clip as a card with its waveform, a playhead and the spoken words."""
    side = PREVIEW_WIDTH - 2 * MARGIN
    top = round(side * clip.frames.shape[1] / clip.frames.shape[2]) + 2 * MARGIN
    wave = waveform_columns(clip.sound, (side - BUTTON - 2 * GAP, WAVE_HEIGHT), 0.0)
    button, font = play_button(BUTTON), ImageFont.load_default(FONT_SIZE)
    cards = []
    for index, pixels in enumerate(clip.frames):
        card = Image.new("RGBA", (PREVIEW_WIDTH, top + WAVE_HEIGHT + TEXT_HEIGHT), CARD)
        frame = Image.fromarray(pixels).resize((side, top - 2 * MARGIN), Image.Resampling.LANCZOS)
        card.alpha_composite(_rounded(frame), (MARGIN, MARGIN))
        card.alpha_composite(button, (MARGIN, top + (WAVE_HEIGHT - BUTTON) // 2))
        card.paste(_played(wave, index / (len(clip.frames) - 1)), (PREVIEW_WIDTH - MARGIN - wave.width, top), wave)
        words_at = (PREVIEW_WIDTH // 2, top + WAVE_HEIGHT + TEXT_HEIGHT // 2)
        ImageDraw.Draw(card).text(words_at, f"“{words}”", TEXT, font, anchor="mm")
        cards.append(card.convert("RGB"))
    return cards


def play_button(side: int) -> Image.Image:
    """Draw a round button with a triangle."""
    large = side * SMOOTHING
    image = Image.new("RGBA", (large, large))
    draw = ImageDraw.Draw(image)
    draw.ellipse((0, 0, large - 1, large - 1), fill=GENERATED)
    draw.polygon([(large * x, large * y) for x, y in ((0.39, 0.28), (0.39, 0.72), (0.74, 0.5))], fill="white")
    return image.resize((side, side), Image.Resampling.LANCZOS)


def write_animation(cards: Sequence[Image.Image], fps: float, path: Path) -> None:
    """Write pictures as an animated WebP that repeats."""
    first, *others = cards
    first.save(path, save_all=True, append_images=others, duration=round(1000 / fps), loop=0, quality=80, method=6)


def _played(wave: Image.Image, share: float) -> Image.Image:
    """A waveform in one color up to the playhead and in another after it."""
    colors = Image.new("RGB", wave.size, OWN)
    colors.paste(GENERATED, (0, 0, round(share * wave.width), wave.height))
    return colors


def _bar_colors(clip: Clip, own: OwnMedia) -> np.ndarray:
    """Color of every pixel of the bar, (``ROW_WIDTH``, 3): stripes where only a region is generated."""
    x = np.arange(ROW_WIDTH)
    is_own = (x // 6) % 2 == 0 if own.around else x < _share(own.video_seconds, clip.seconds) * ROW_WIDTH
    return np.where(is_own[:, None], OWN, GENERATED).astype(np.uint8)


def _share(part: float, whole: float) -> float:
    return min(part / whole, 1.0)


def _rounded(image: Image.Image, radius: int = ROUND) -> Image.Image:
    """A picture with round corners, RGBA."""
    large = Image.new("L", (image.width * SMOOTHING, image.height * SMOOTHING))
    corner = (large.width - 1, large.height - 1)
    ImageDraw.Draw(large).rounded_rectangle((0, 0, *corner), radius * SMOOTHING, fill=255)
    rounded = image.convert("RGBA")
    rounded.putalpha(large.resize(image.size, Image.Resampling.LANCZOS))
    return rounded
