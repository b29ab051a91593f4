"""Lip-sync measures: correlation of the mouth opening in the pixels with the loudness in the log-mel.

Source: measures of this project's toon experiments: correlation with the clip's own sound and with those of other
clips, and the share of clips whose own sound fits best. They use pixels and mel only, never the renderer's opening.

Dimension key: B clips, F video frames, H picture height, W picture width, M mel frames.
"""

from itertools import pairwise
from math import ceil, floor

import numpy as np

from ..shapes import FPS, MEL_RATE

_HALF_WIDTH, _HALF_HEIGHT, _DROP = 0.5, 0.36, 0.1
"""Half axes of the ellipse that contains the open mouth, and its offset below the closed mouth, in head radii."""
_SKIN_SHARE, _FULL_SHARE = 0.9, 0.5


def mouth_opening(frames: np.ndarray, mouth_center: np.ndarray, face_radius: float) -> np.ndarray:
    """Measure the opening of a mouth: the area of dark or red pixels around it.

    Pixels are weighted by their lack of green and blue: 0 with 90 % of the surrounding skin's or more, 1 with half of
    it or less. So lips, tongue and the dark inside count on any skin colour, and skin and teeth do not.

    Args:
        frames: Pictures, RGB, (F, H, W, 3) uint8.
        mouth_center: Position of the closed mouth in every frame, pixels (x, y), (F, 2).
        face_radius: Half the width of the head, pixels.

    Returns:
        Area in hundredths of the squared head radius, float32, (F,).

    Raises:
        ValueError: If frames and mouth positions differ in number.
    """
    if len(frames) != len(mouth_center):
        raise ValueError(f"{len(frames)} frames need as many mouth positions; there are {len(mouth_center)}.")
    surroundings = [_around_mouth(*pair, face_radius) for pair in zip(frames, mouth_center, strict=True)]
    skin = np.maximum(np.median(surroundings[0], axis=0), 1)
    shares = [(pixels / skin).mean(-1) for pixels in surroundings]
    mass = [np.clip((_SKIN_SHARE - share) / (_SKIN_SHARE - _FULL_SHARE), 0, 1).sum() for share in shares]
    return (100 * np.array(mass) / face_radius**2).astype(np.float32)


def _around_mouth(frame: np.ndarray, center: np.ndarray, radius: float) -> np.ndarray:
    """Green and blue of the pixels in the ellipse around a mouth, (pixels, 2)."""
    rows, columns = np.ogrid[: frame.shape[0], : frame.shape[1]]
    across = (columns - center[0]) / (_HALF_WIDTH * radius)
    down = (rows - center[1] - _DROP * radius) / (_HALF_HEIGHT * radius)
    return frame[across**2 + down**2 <= 1][:, 1:].astype(np.float32)


def sound_envelope(log_mel: np.ndarray, video_frames: int) -> np.ndarray:
    """Loudness of the sound during every video frame.

    Args:
        log_mel: Natural logarithm of the mel magnitudes, not normalised, (80, M).
        video_frames: Number F.

    Returns:
        Logarithm of the mean magnitude, averaged over the duration of each frame, float32, (F,).

    Raises:
        ValueError: If the sound ends before the last video frame begins.
    """
    loudness = np.log(np.exp(np.asarray(log_mel, np.float64)).mean(0))
    edges = np.arange(video_frames + 1) * MEL_RATE / FPS
    if floor(edges[-2]) >= len(loudness):
        raise ValueError(f"{len(loudness)} mel frames are too few for {video_frames} video frames.")
    spans = [loudness[floor(start) : ceil(stop)] for start, stop in pairwise(edges)]
    return np.array([span.mean() for span in spans], np.float32)


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Pearson correlation of two signals of equal length; 0 if one of them is constant."""
    first, second = (np.asarray(x, np.float64) - np.mean(x, dtype=np.float64) for x in (first, second))
    norm = np.sqrt((first**2).sum() * (second**2).sum())
    return float((first * second).sum() / norm) if norm > 1e-9 else 0.0


def best_lag(opening: np.ndarray, envelope: np.ndarray, largest: int = 4) -> tuple[float, int]:
    """Find the lag with the highest correlation of mouth and sound.

    Args:
        opening: Mouth opening, (F,).
        envelope: Loudness of the sound, (F,).
        largest: Largest lag in either direction, video frames.

    Returns:
        The correlation, and its lag in video frames, positive when the mouth comes after the sound.
    """
    frames = len(opening)
    lags = sorted(range(-largest, largest + 1), key=abs)
    fits = [
        correlation(opening[max(0, lag) : frames + min(0, lag)], envelope[max(0, -lag) : frames + min(0, -lag)])
        for lag in lags
    ]
    best = int(np.argmax(fits))
    return fits[best], lags[best]


def own_correlation(openings: np.ndarray, envelopes: np.ndarray) -> float:
    """Mean correlation of each clip's mouth with its own sound; both (B, F)."""
    return float(np.mean([correlation(*pair) for pair in zip(openings, envelopes, strict=True)]))


def shuffled_correlation(openings: np.ndarray, envelopes: np.ndarray, shifts: int = 7) -> float:
    """Mean correlation of each clip's mouth with the sounds of the next ``shifts`` clips; both (B, F), B > 1."""
    shifts = min(shifts, len(openings) - 1)
    return float(np.mean([own_correlation(openings, np.roll(envelopes, -k, axis=0)) for k in range(1, shifts + 1)]))


def first_of(openings: np.ndarray, envelopes: np.ndarray, choices: int = 8) -> float:
    """Share of clips whose own sound fits the mouth best.

    Args:
        openings: Mouth openings, (B, F).
        envelopes: Loudness of the sounds, (B, F).
        choices: Number of sounds to compare: the clip's own and those of the next clips. At most B.

    Returns:
        Share in [0, 1]; chance is ``1 / choices``.

    Raises:
        ValueError: If there are fewer clips than choices.
    """
    count = len(openings)
    if count < choices:
        raise ValueError(f"{choices} audio tracks to choose from need as many clips; there are {count}.")
    fits = [[correlation(openings[i], envelopes[(i + k) % count]) for k in range(choices)] for i in range(count)]
    return float(np.mean(np.argmax(fits, axis=1) == 0))


def mouth_amplitude(openings: np.ndarray) -> float:
    """Mean over clips of the standard deviation of the mouth opening over time, in the opening's unit; (B, F)."""
    return float(np.std(openings, axis=1).mean())
