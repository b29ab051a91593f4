"""Ratings of several takes of one clip, which differ in their seed, by judges that need no true clip.

Dimension key: F video frames, H picture height, W picture width, N samples.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ..media.audio.voice_activity import voice_activity
from ..media.faces.face_detection import available_detector
from .fine_detail import relative_detail
from .paper_models import spoken_words
from .recognised_words import words_right
from .sound_damage import clipped_share, speech_timing
from .sync_meter import measure_sync

CRITERIA = {
    "sync": "probability that mouth and audio are in sync",
    "spoken": "time in which something is heard, as a share of what the words take at their fastest, at most 1",
    "words": "share of the words that a recognizer hears",
    "ends": "1, less a tenth for each tenth of a second of audio after the words must have ended",
    "clean": "1, less ten times the share of clipped samples",
    "sharp": "fine detail of the later frames as a share of the first one's, at most 1",
    "moves": "1, or 0 for video that stands still",
    "face": "likeness of the face to the first frame's",
}
"""Criteria of a take, each from 0 to 1; the total is their product."""
Hear = Callable[[Tensor, int], str]
"""Text that a recognizer hears in a mono waveform, (N,), of a rate in Hz."""
LEAST_MOVEMENT = 0.1
CLIPPING, BABBLE, FASTEST = 10.0, 1.0, 20.0
"""Weight of clipped samples, seconds of babble that cost all, and characters a second of the fastest speech."""
_SHOWN, _SIDE, _GAP, _COLUMN, _HEAD = 4, 112, 8, 72, 40
_PAPER, _INK, _DIM, _BEST = "#16181d", "#f2f4f8", "#9aa3b2", "#7ee2a8"


@dataclass(frozen=True)
class Take:
    """One take and its ratings.

    Attributes:
        seed: Seed of its noise.
        ratings: By name of ``CRITERIA``; one that could not be judged is missing.
        thumbnails: Pictures of it, (4, H, W, 3) uint8.
    """

    seed: int
    ratings: dict[str, float]
    thumbnails: np.ndarray

    @property
    def total(self) -> float:
        """Product of the ratings."""
        return prod(self.ratings.values())


def rate_take(
    seed: int, frames: np.ndarray, fps: float, sound: tuple[Tensor, int], transcript: str, hear: Hear | None = None
) -> Take:
    """Rate a take.

    Args:
        seed: Seed of its noise.
        frames: RGB, (F, H, W, 3) uint8, F at least 8.
        fps: Frames per second.
        sound: Mono samples, (N,), and their rate, Hz.
        transcript: What should be said; empty if that is not known.
        hear: Recognizer of words, if any.

    Returns:
        The take. Without a transcript neither the time nor the words of the speech are judged, and faces are not
        compared without OpenCV and the weights of the face detector.
    """
    waveform, rate = sound
    ratings = {"sync": measure_sync(frames, fps, waveform, rate).score}
    if transcript:
        loud, timing = voice_activity(waveform, rate).mean(), speech_timing(waveform, rate, len(transcript))
        ratings["spoken"] = min(1.0, float(loud) * len(waveform) / rate * FASTEST / len(transcript))
        if hear is not None and spoken_words(transcript):
            ratings["words"] = words_right(transcript, hear(waveform, rate))
        ratings["ends"] = max(0.0, 1 - timing.babble / BABBLE)
    ratings["clean"] = max(0.0, 1 - CLIPPING * clipped_share(waveform))
    ratings["sharp"] = min(1.0, relative_detail(frames[1:], frames[:1]))
    steps = np.abs(np.diff(frames.astype(np.int16), axis=0)).mean()
    ratings["moves"] = float(steps > LEAST_MOVEMENT)
    if detector := available_detector():
        from .picture_damage import identity  # imported lazily, because it needs OpenCV

        ratings["face"] = identity(frames, detector)
    return Take(seed, ratings, frames[np.linspace(0, len(frames) - 1, _SHOWN).round().astype(int)])


def best_first(takes: Sequence[Take]) -> list[Take]:
    """Takes by their total, equal ones in the order given."""
    return sorted(takes, key=lambda take: -take.total)


def draw_takes(takes: Sequence[Take]) -> np.ndarray:
    """Draw a table of takes in the order given, the first marked as chosen: pictures, ratings and totals.

    Returns:
        RGB, (rows, columns, 3) uint8.
    """
    names = [name for name in CRITERIA if any(name in take.ratings for take in takes)]
    height, width = takes[0].thumbnails.shape[1:3]
    row, column = _SIDE, round(_SIDE * width / height)
    strip = _SHOWN * (column + 2)
    size = (strip + _COLUMN * (len(names) + 2) + 2 * _GAP, _HEAD + (row + _GAP) * len(takes) + _GAP)
    sheet = Image.new("RGB", size, _PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(20)
    for number, name in enumerate(("seed", "total", *names)):
        pen.text((strip + _GAP + _COLUMN * number, 12), name, _DIM, font)
    for number, take in enumerate(takes):
        top, colour = _HEAD + (row + _GAP) * number, _BEST if number == 0 else _INK
        for place, picture in enumerate(take.thumbnails):
            sheet.paste(Image.fromarray(picture).resize((column, row)), (_GAP + place * (column + 2), top))
        values = [take.total, *(take.ratings.get(name) for name in names)]
        texts = [str(take.seed), *("-" if value is None else f"{value:.2f}" for value in values)]
        for place, text in enumerate(texts):
            pen.text((strip + _GAP + _COLUMN * place, top + row // 2 - 10), text, colour, font)
    return np.asarray(sheet)
