"""Drawing with OpenCV in shares of the picture's side, on a canvas larger than the picture.

Dimension key: P points, H picture height, W picture width.
"""

import cv2
import numpy as np

from .appearance import Colour

SUPERSAMPLING = 2
_SUBPIXEL_BITS = 4
_TURN = np.linspace(0, 2 * np.pi, 49)[:-1]
_COS, _SIN = np.cos(_TURN), np.sin(_TURN)


def oval(x: float, y: float, half_width: float, half_height: float, jaw: float = 0.0) -> np.ndarray:
    """Outline of an ellipse whose lower half narrows by ``jaw``, (P, 2)."""
    narrowing = 1 - jaw * np.clip(_SIN, 0, None) ** 2
    return np.stack([x + half_width * _COS * narrowing, y + half_height * _SIN], 1)


class Canvas:
    """A canvas to draw on. Coordinates are shares of its side, x to the right and y downwards."""

    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels = pixels
        self._scale = pixels.shape[0] * 2**_SUBPIXEL_BITS

    @classmethod
    def blank(cls, size: int, colour: Colour | None = None) -> "Canvas":
        """Make a canvas for a picture of ``size`` pixels: of one colour, or black with one channel for a mask."""
        side = size * SUPERSAMPLING
        if colour is None:
            return cls(np.zeros((side, side), np.uint8))
        return cls(np.full((side, side, 3), colour, np.uint8))

    def copy(self) -> "Canvas":
        """Copy the canvas."""
        return Canvas(self.pixels.copy())

    def fill(self, outline: np.ndarray, colour: Colour | int) -> None:
        """Fill an outline, (P, 2)."""
        points = np.rint(outline * self._scale).astype(np.int32)
        cv2.fillPoly(self.pixels, [points], colour, cv2.LINE_AA, _SUBPIXEL_BITS)

    def stroke(self, path: np.ndarray, colour: Colour | int, width: float, closed: bool = False) -> None:
        """Draw along a path, (P, 2), with a line ``width`` wide."""
        points = np.rint(path * self._scale).astype(np.int32)
        thickness = max(1, round(width * self.pixels.shape[0]))
        cv2.polylines(self.pixels, [points], closed, colour, thickness, cv2.LINE_AA, _SUBPIXEL_BITS)

    def picture(self) -> np.ndarray:
        """Downscale the canvas to the size of the picture, uint8, (H, W) or (H, W, 3)."""
        side = self.pixels.shape[0] // SUPERSAMPLING
        return cv2.resize(self.pixels, (side, side), interpolation=cv2.INTER_AREA)
