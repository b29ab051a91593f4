"""PSNR of generated toons against the rendered ones, where both should show the same.

The caption determines the movement of the head, so the frames can be compared, except for the mouth, which depends on
the sound, and the eyes, which blink at random. Both are masked out by ellipses at their positions in the true clip.

Dimension key: F video frames, H picture height, W picture width.
"""

import numpy as np

from .cases import Case

MOST_DB = 99.0
_MOUTH = (0.0, 0.1, 0.5, 0.36)
_EYES = ((-0.4, -0.68, 0.34, 0.36), (0.4, -0.68, 0.34, 0.36))
"""Ellipses relative to the middle of the closed mouth: x, y, half width and half height, in head radii."""


def kept_pixels(case: Case, eyes: bool) -> np.ndarray:
    """Mask of the pixels outside all mouths, and outside the eyes unless they are included, (F, H, W) bool."""
    rows, columns = np.ogrid[: case.frames.shape[1], : case.frames.shape[2]]
    kept = np.ones(case.frames.shape[:3], bool)
    for centers, radius in case.mouths:
        for across, down, wide, high in (_MOUTH,) if eyes else (_MOUTH, *_EYES):
            for frame, (x, y) in enumerate(centers):
                off = ((columns - x) / radius - across) / wide, ((rows - y) / radius - down) / high
                kept[frame] &= off[0] ** 2 + off[1] ** 2 > 1
    return kept


def still_pixels(case: Case) -> np.ndarray:
    """Mask of the pixels that are constant in the true clip, the background, (H, W) bool."""
    return (case.frames == case.frames[:1]).all(axis=(0, 3))


def psnr(frames: np.ndarray, truth: np.ndarray, kept: np.ndarray) -> float:
    """Peak signal-to-noise ratio over the masked pixels of all generated frames.

    Args:
        frames: Generated frames, (F, H, W, 3) uint8. The first is ignored, because it is given.
        truth: True frames, of the same shape.
        kept: Mask of the pixels to compare, (F, H, W) bool.

    Returns:
        Decibels, at most 99.
    """
    difference = frames[1:][kept[1:]].astype(np.float32) - truth[1:][kept[1:]]
    return float(min(MOST_DB, 10 * np.log10(255**2 / max(float(np.mean(difference**2)), 1e-9))))


def picture_measures(frames: np.ndarray, case: Case) -> dict[str, float]:
    """``psnr`` outside mouth and eyes, ``psnr_eyes`` with the eyes, ``psnr_background`` where nothing moves; dB."""
    still = np.broadcast_to(still_pixels(case), case.frames.shape[:3])
    parts = {"psnr": kept_pixels(case, False), "psnr_eyes": kept_pixels(case, True), "psnr_background": still}
    return {name: psnr(frames, case.frames, kept) for name, kept in parts.items()}
