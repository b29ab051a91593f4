"""``python -m toon.clips --seed 0 --output DIR``: write a clip's contact sheet (PNG) and its sound (WAV)."""

import argparse
import sys
import wave
from pathlib import Path

import cv2
import numpy as np

from uniavgen_core.shapes import SAMPLE_RATE

from .clip import ToonClip, make_clip

_COLUMNS = 11


def contact_sheet(clip: ToonClip) -> np.ndarray:
    """All frames of a clip in rows of eleven, RGB, (rows * H, 11 * W, 3) uint8."""
    blank = np.zeros_like(clip.frames[:1]).repeat(-len(clip.frames) % _COLUMNS, axis=0)
    frames = np.concatenate([clip.frames, blank])
    return np.concatenate([np.concatenate(list(row), 1) for row in frames.reshape(-1, _COLUMNS, *frames.shape[1:])])


def write_wav(path: Path, waveform: np.ndarray) -> None:
    """Write a waveform in [-1, 1] at 24 kHz, (N,), as 16-bit mono."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes((waveform * 32767).astype("<i2").tobytes())


def main() -> None:
    """Render one clip and write it to disk."""
    parser = argparse.ArgumentParser(prog="python -m toon.clips", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--frames", type=int, default=33, help="length at 16 fps")
    parser.add_argument("--size", type=int, default=128, help="side of the picture, pixels")
    parser.add_argument("--output", type=Path, default=Path())
    options = parser.parse_args()
    clip = make_clip(options.seed, options.frames, options.size)
    options.output.mkdir(parents=True, exist_ok=True)
    sheet, sound = (options.output / f"toon_{options.seed}.{ending}" for ending in ("png", "wav"))
    cv2.imwrite(str(sheet), cv2.cvtColor(contact_sheet(clip), cv2.COLOR_RGB2BGR))
    write_wav(sound, clip.waveform)
    sys.stdout.write(f"{clip.caption}\n{clip.transcript}\n{sheet}\n{sound}\n")


if __name__ == "__main__":
    main()
