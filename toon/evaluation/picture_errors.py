"""PSNR of generated toons against the rendered ones, where both should show the same.

In the steady world the caption determines the movement of the head, so the frames can be compared. Mouth and eyes are
measured apart, in ellipses at their positions in the true clip: the mouth depends on the sound, and the eyes blink at
random, so that frames in which they do are left out.

Dimension key: F video frames, H picture height, W picture width.
"""

from collections.abc import Sequence

import numpy as np

from .cases import Case

MOST_DB = 99.0
Ellipse = tuple[float, float, float, float]
MOUTH: tuple[Ellipse, ...] = ((0.0, 0.1, 0.5, 0.36),)
EYES: tuple[Ellipse, ...] = ((-0.4, -0.68, 0.34, 0.36), (0.4, -0.68, 0.34, 0.36))
"""Ellipses relative to the middle of the closed mouth: x, y, half width and half height, in head radii."""


def part_pixels(case: Case, ellipses: Sequence[Ellipse], faces: int | None = None) -> np.ndarray:
    """Mask of the pixels in some ellipses.

    Args:
        case: The true clip.
        ellipses: Relative to the middle of the closed mouth.
        faces: Number of faces, the speaker's first; None for all.

    Returns:
        True inside, (F, H, W) bool.
    """
    rows, columns = np.ogrid[: case.frames.shape[1], : case.frames.shape[2]]
    inside = np.zeros(case.frames.shape[:3], bool)
    for centers, radius in case.mouths[:faces]:
        for across, down, wide, high in ellipses:
            for frame, (x, y) in enumerate(centers):
                off = ((columns - x) / radius - across) / wide, ((rows - y) / radius - down) / high
                inside[frame] |= off[0] ** 2 + off[1] ** 2 <= 1
    return inside


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
    """Errors of a clip's parts, dB.

    Args:
        frames: Generated frames, (F, H, W, 3) uint8.
        case: The true clip.

    Returns:
        ``psnr`` outside mouths and eyes; ``psnr_eyes`` and ``psnr_mouth`` inside those of the speaker, in frames in
        which the true one does not blink; ``psnr_background`` where nothing moves. The last alone in a lively world,
        whose heads move by chance.
    """
    background = {"psnr_background": psnr(frames, case.frames, np.broadcast_to(case.still, case.frames.shape[:3]))}
    if case.world.lively:
        return background
    awake = (case.lids == 0)[:, None, None]
    parts = {
        "psnr": ~part_pixels(case, MOUTH + EYES),
        "psnr_eyes": part_pixels(case, EYES, 1) & awake,
        "psnr_mouth": part_pixels(case, MOUTH, 1) & awake,
    }
    return {name: psnr(frames, case.frames, kept) for name, kept in parts.items()} | background
