"""Fine detail of pictures, without OpenCV: the variance of the Laplacian of their brightness.

Dimension key: F video frames, H picture height, W picture width.
"""

from collections.abc import Iterable

import numpy as np
from scipy.ndimage import laplace

_LEAST_DETAIL = 1.0


def detail(frames: Iterable[np.ndarray]) -> float:
    """Mean variance of the Laplacian of the brightness of RGB pictures, (H, W, 3) uint8 each, squared levels of 255."""
    return float(np.mean([laplace(brightness(frame), mode="mirror").var() for frame in frames]))


def brightness(frame: np.ndarray) -> np.ndarray:
    """Brightness of an RGB picture (H, W, 3) uint8 as OpenCV rounds it (Rec. 601), 0 to 255, (H, W) float32."""
    red, green, blue = np.moveaxis(frame.astype(np.int32), -1, 0)
    return ((9798 * red + 19235 * green + 3735 * blue + 16384) >> 15).astype(np.float32)


def relative_detail(frames: np.ndarray, reference: Iterable[np.ndarray]) -> float:
    """Detail of frames (F, H, W, 3) uint8 as a share of that of reference pictures of the same size."""
    return detail(frames) / max(_LEAST_DETAIL, detail(reference))
