"""Portraits of toons as reference images: ``python -m toon.clips.portraits DIR`` remakes the pack's example images.

Dimension key: H picture height, W picture width.
"""

import sys
from pathlib import Path

import cv2
import numpy as np

from .clip import film
from .speech import VOICES, Emotion, ToonSpeech

FIRST_SEED = 900_000  # Beyond all seeds of training.


def portrait(seed: int, voice: int, emotion: int) -> np.ndarray:
    """Draw a toon that fits a voice, looks straight ahead and has its mouth shut, RGB, (H, W, 3) uint8."""
    shut, empty = np.zeros(33, np.float32), np.zeros(0, np.float32)
    return film(ToonSpeech(empty, shut, shut + 0.5, empty, "", voice, emotion), seed).frames[0]


def write_portraits(folder: Path) -> list[Path]:
    """Write one portrait for every voice and emotion as ``toon_1_calm.png`` and so on."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for voice in range(len(VOICES)):
        for emotion in Emotion:
            path = folder / f"toon_{voice + 1}_{emotion.name.lower()}.png"
            picture = portrait(FIRST_SEED + voice, voice, emotion)
            cv2.imwrite(str(path), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
            paths.append(path)
    return paths


if __name__ == "__main__":
    write_portraits(Path(sys.argv[1]))
