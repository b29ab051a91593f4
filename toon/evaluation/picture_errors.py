"""How near a generated toon's pictures come to the drawn ones, where both should show the same.

The caption tells how the head moves, so the true frames can be compared with; not the mouth, which depends on the
sound, nor the eyes, which blink at random. Both are left out, as ovals at the places where the true clip has them.

Dimension key: F video frames, H picture height, W picture width.
"""

import numpy as np

from .cases import Case

MOST_DB = 99.0
_MOUTH = (0.0, 0.1, 0.5, 0.36)
_EYES = ((-0.4, -0.68, 0.34, 0.36), (0.4, -0.68, 0.34, 0.36))
"""Ovals from the middle of the closed mouth: across, down, half width, half height, in head radii."""


def kept_pixels(case: Case, eyes: bool) -> np.ndarray:
    """Pixels outside all mouths, and outside the eyes unless they count.

    Args:
        case: Whose places they are.
        eyes: Whether the eyes count.

    Returns:
        Bool, (F, H, W).
    """
    rows, columns = np.ogrid[: case.frames.shape[1], : case.frames.shape[2]]
    kept = np.ones(case.frames.shape[:3], bool)
    for centers, radius in case.mouths:
        for across, down, wide, high in (_MOUTH,) if eyes else (_MOUTH, *_EYES):
            for frame, (x, y) in enumerate(centers):
                off = ((columns - x) / radius - across) / wide, ((rows - y) / radius - down) / high
                kept[frame] &= off[0] ** 2 + off[1] ** 2 > 1
    return kept


def still_pixels(case: Case) -> np.ndarray:
    """Pixels that no frame of the true clip changes: the background, bool, (H, W)."""
    return (case.frames == case.frames[:1]).all(axis=(0, 3))


def psnr(frames: np.ndarray, truth: np.ndarray, kept: np.ndarray) -> float:
    """Peak signal-to-noise ratio over the pixels that count in all generated frames together.

    Args:
        frames: Generated pictures, (F, H, W, 3) uint8. The first is left out: it is given.
        truth: True ones, of the same shape.
        kept: Which pixels count, bool, (F, H, W).

    Returns:
        Decibels, at most 99.
    """
    difference = frames[1:][kept[1:]].astype(np.float32) - truth[1:][kept[1:]]
    return float(min(MOST_DB, 10 * np.log10(255**2 / max(float(np.mean(difference**2)), 1e-9))))


def picture_measures(frames: np.ndarray, case: Case) -> dict[str, float]:
    """Measure one clip.

    Returns:
        ``psnr`` outside mouth and eyes, ``psnr_eyes`` with the eyes, ``psnr_background`` where nothing moves; decibels.
    """
    still = np.broadcast_to(still_pixels(case), case.frames.shape[:3])
    parts = {"psnr": kept_pixels(case, False), "psnr_eyes": kept_pixels(case, True), "psnr_background": still}
    return {name: psnr(frames, case.frames, kept) for name, kept in parts.items()}
