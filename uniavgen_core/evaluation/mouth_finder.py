"""Localisation of a speaking mouth: the part of a video that darkens with the sound.

No face detector is needed: an open mouth shows its dark inside and red lips, with little green and blue, when the sound
is loud. Of all squares of the picture, or of the masked part, the one that follows the sound best and changes most is
selected. Anything else that does so is found instead, such as clapping hands or a lamp that flickers with the music.

Dimension key: F video frames, H picture height, W picture width, h and w rows and columns of the small picture, L lags.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter1d, uniform_filter
from torch import Tensor

_LONGEST_SIDE, _SHORTEST_SIDE, _MOST_CELLS = 64, 24, 16_000_000
_SQUARES = (3, 5, 9, 13)
"""Sides of the squares tried, in cells of the small picture."""
_MASK_SMOOTHING = 0.7
"""Standard deviation of the temporal smoothing of a mask's position, frames: the boxes of detectors jitter."""

Pictures = np.ndarray | Tensor
MASK_SHOWS = ("face", "mouth")


def mask_boxes(mask: Pictures | None, video_frames: int, height: int, width: int, shows: str = "mouth") -> np.ndarray:
    """Box of constant size that follows a mask; the whole picture without one.

    Args:
        mask: Mask of the face or the mouth, at any scale from 0, (F or 1, H', W'); None for the whole picture. A pixel
            is inside from half the highest value.
        video_frames: Number of pictures F.
        height: Their height H, pixels; the mask may have another size.
        width: Their width W, pixels.
        shows: One of ``MASK_SHOWS``. Of a face, only the lower half is used: eyes blink and brows rise with speech.

    Returns:
        Left, top, right and bottom in every picture, pixels, (F, 4); interpolated over frames with an empty mask.

    Raises:
        ValueError: If the mask has the wrong number of pictures or axes, or is empty, or ``shows`` is unknown.
    """
    if shows not in MASK_SHOWS:
        raise ValueError(f"A mask shows {' or '.join(MASK_SHOWS)}, not {shows!r}.")
    if mask is None:
        return np.tile(np.array([0.0, 0.0, width, height]), (video_frames, 1))
    if mask.ndim != 3 or len(mask) not in (1, video_frames):
        raise ValueError(f"A mask of shape {tuple(mask.shape)} does not fit {video_frames} frames; (1 or F, H, W).")
    mask = mask.cpu() if isinstance(mask, Tensor) else mask
    threshold = float(mask.max()) / 2
    if not threshold > 0:
        raise ValueError("The mask is empty: it shows nothing in any frame. Leave it out to search everywhere.")
    found = np.array([_box_of(np.asarray(one > threshold)) for one in mask], np.float64)
    found *= np.array([width / mask.shape[2], height / mask.shape[1]] * 2)
    is_seen, times = ~np.isnan(found[:, 0]), np.arange(len(found))
    wide, high = np.percentile((found[:, 2:] - found[:, :2])[is_seen], 95, axis=0)
    middle, top = (
        gaussian_filter1d(np.interp(times, times[is_seen], line[is_seen]), _MASK_SMOOTHING, mode="nearest")
        for line in ((found[:, 0] + found[:, 2]) / 2, found[:, 1])
    )
    skipped = high / 2 if shows == "face" else 0
    boxes = np.stack([middle - wide / 2, top + skipped, middle + wide / 2, top + high], 1)
    return np.tile(boxes, (video_frames, 1)) if len(boxes) == 1 else boxes


def _box_of(pixels: np.ndarray) -> tuple[float, float, float, float]:
    """Bounding box of the true pixels in (H, W): left, top, right and bottom; NaN if there are none."""
    rows, columns = np.flatnonzero(pixels.any(1)), np.flatnonzero(pixels.any(0))
    if not len(rows):
        return np.nan, np.nan, np.nan, np.nan
    return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1


def darkness(frames: Pictures, boxes: np.ndarray) -> np.ndarray:
    """Darkness of the downscaled pictures in green and blue.

    Args:
        frames: RGB, uint8 or floats in [0, 1], (F, H, W, 3).
        boxes: Part of each picture to use, all of one size, pixels, (F, 4).

    Returns:
        Darkness in [0, 1], float32, (F, h, w).
    """
    wide, high = boxes[0, 2:] - boxes[0, :2]
    side = int(np.clip(np.sqrt(_MOST_CELLS / len(frames)), _SHORTEST_SIDE, _LONGEST_SIDE))
    scale = side / max(wide, high)
    size = max(1, round(wide * scale)), max(1, round(high * scale))
    cells = [_shrink(*pair, size) for pair in zip(frames, boxes, strict=True)]
    return np.stack(cells)


def to_bytes(frame: Pictures) -> np.ndarray:
    """Convert one picture (H, W, 3 or more), uint8 or floats in [0, 1], to uint8 (H, W, 3); NaN becomes black."""
    if isinstance(frame, Tensor):
        frame = frame.detach().cpu().numpy()
    frame = frame[..., :3]
    return frame if frame.dtype == np.uint8 else np.rint(np.nan_to_num(frame).clip(0, 1) * 255).astype(np.uint8)


def _shrink(frame: Pictures, box: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Darkness of one picture (H, W, 3) within a box, (h, w); a box that extends beyond the picture is shifted."""
    pixels = to_bytes(frame)
    limits = np.array([pixels.shape[1], pixels.shape[0]])
    span = np.minimum(box[2:] - box[:2], limits)
    start = np.clip(box[:2], 0, limits - span)
    left, top, right, bottom = map(float, (*start, *np.minimum(start + span, limits)))
    small = np.asarray(
        Image.fromarray(pixels).resize(size, Image.Resampling.BOX, (left, top, right, bottom)), np.float32
    )
    return 1 - small[..., 1:].mean(-1) / 255


class MouthFinder:
    """Search over squares of all sizes and positions of a darkness (F, h, w) for the one that follows a sound best."""

    def __init__(self, cells: np.ndarray) -> None:
        self.sides = [side for side in _SQUARES if side <= min(cells.shape[1:])] or [1]
        self.squares: list[np.ndarray] = [
            uniform_filter(cells, side, mode="nearest", axes=(1, 2)) for side in self.sides
        ]
        self._changes = [square - square.mean(0) for square in self.squares]
        self._strengths = [np.sqrt((change**2).sum(0)) for change in self._changes]

    def find(self, sounds: np.ndarray) -> tuple[int, int, int]:
        """Find the square that follows a sound best.

        Args:
            sounds: Loudness of the sound over the frames at every lag, zero mean and unit norm, (L, F).

        Returns:
            Indices of size, row and column: ``squares[size][:, row, column]`` is the opening over time.
        """
        best, place = -1.0, (0, 0, 0)
        for size, (change, strength) in enumerate(zip(self._changes, self._strengths, strict=True)):
            fits = np.tensordot(sounds.astype(np.float32), change, 1) / np.maximum(strength, 1e-6)
            worth = (fits.max(0).clip(0) ** 4) * strength * np.sqrt(self.sides[size])
            if worth.max() > best:
                best = float(worth.max())
                row, column = np.unravel_index(worth.argmax(), worth.shape)
                place = (size, int(row), int(column))
        return place

    def opening(self, place: Sequence[int]) -> np.ndarray:
        """Darkness of a square over time, (F,)."""
        size, row, column = place
        return self.squares[size][:, row, column].astype(np.float64)

    def box(self, place: Sequence[int], boxes: np.ndarray) -> np.ndarray:
        """Bounding box of a square in the pictures.

        Args:
            place: Result of ``find``.
            boxes: Part of each picture that was searched, pixels, (F, 4).

        Returns:
            Left, top, right and bottom, pixels, (F, 4).
        """
        size, row, column = place
        rows, columns = self.squares[0].shape[1:]
        cell = (boxes[:, 2:] - boxes[:, :2]) / (columns, rows)
        middle = boxes[:, :2] + cell * (column + 0.5, row + 0.5)
        return np.concatenate([middle - cell * self.sides[size] / 2, middle + cell * self.sides[size] / 2], 1)
