"""Image measures without learned weights: stand-ins for VBench's subject consistency, motion and image quality.

Each follows VBench's definition (Huang et al., arXiv:2311.17982) with its network replaced.

Dimension key: F video frames, H picture height, W picture width, D size of a feature.
"""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import cv2
import numpy as np

_SIDE = 128
_COLOURS = 8
_QUALITY_SIDE, _QUALITY_FRAMES = 512, 8
_NOISE_SCALE = 12.0
FLOW_FPS = 8.0
_FASTEST_SHARE, _LEAST_FLOW, _MOVING_SHARE = 0.05, 6.0, 0.25
_LAPLACIANS = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)


def features(frames: np.ndarray) -> np.ndarray:
    """Unit vectors (F, D) of RGB frames (F, H, W, 3) uint8: histograms of gradients, and of colours in a grid."""
    small = [cv2.resize(frame, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA) for frame in frames]
    hog = cv2.HOGDescriptor((_SIDE, _SIDE), (32, 32), (16, 16), (16, 16), 9)
    rows = []
    for picture in small:
        shape = np.ravel(hog.compute(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)))
        places = picture.reshape(4, _SIDE // 4, 4, _SIDE // 4, 3).transpose(0, 2, 4, 1, 3).reshape(48, -1)
        colour = np.stack([np.histogram(place, _COLOURS, (0, 256))[0] for place in places]).ravel().astype(np.float64)
        rows.append(np.concatenate([_unit(shape), _unit(np.sqrt(colour))]))
    return np.stack(rows) / np.sqrt(2)


def _unit(values: np.ndarray) -> np.ndarray:
    return values / max(float(np.linalg.norm(values)), 1e-9)


def subject_consistency(vectors: np.ndarray, reference: np.ndarray | None = None) -> float:
    """Similarity of the pictures of a clip.

    Args:
        vectors: Unit vector of each picture, (F, D).
        reference: Unit vector of a picture to compare with in place of the first, (D,).

    Returns:
        Mean cosine similarity of each picture with the first and with the previous one, in [0, 1].

    Source: VBench's subject consistency.
    """
    first = vectors[0] if reference is None else reference
    begin = 1 if reference is None else 0
    with_first = np.clip(vectors[begin:] @ first, 0, None)
    with_last = np.clip((vectors[1:] * vectors[:-1]).sum(-1), 0, None)
    if not len(with_last):
        return float(with_first.mean()) if len(with_first) else 1.0
    return float((with_first.mean() + with_last.mean()) / 2)


Flow = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Function from two pictures (H, W, 3) uint8 to optical flow in pixels, (H, W, 2)."""


def farneback(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Optical flow by polynomial expansion (Farneback, SCIA 2003)."""
    grey_before, grey_after = (cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in (before, after))
    flow: Any = None  # OpenCV's types do not say that None asks for a new array
    return cv2.calcOpticalFlowFarneback(grey_before, grey_after, flow, 0.5, 3, 15, 3, 5, 1.2, 0)


def flow_strengths(frames: np.ndarray, fps: float, flow: Flow = farneback) -> np.ndarray:
    """Strength of the optical flow between the pictures of a clip, at 8 pictures per second.

    Args:
        frames: RGB, (F, H, W, 3) uint8.
        fps: Frames per second.
        flow: Optical flow method.

    Returns:
        Mean length of the fastest 5 % of the vectors for each pair of pictures, as a multiple of VBench's threshold: 6
        pixels in a picture whose shorter side is 256.
    """
    chosen = frames[:: max(1, round(fps / FLOW_FPS))]
    least = _LEAST_FLOW * min(frames.shape[1:3]) / 256
    return np.array([_fastest(flow(*pair)) / least for pair in pairwise(chosen)])


def _fastest(flow: np.ndarray) -> float:
    """Mean length of the fastest 5 % of the vectors (H, W, 2)."""
    lengths = np.sort(np.linalg.norm(flow, axis=-1).ravel())
    return float(lengths[-max(1, int(len(lengths) * _FASTEST_SHARE)) :].mean())


def is_dynamic(strengths: np.ndarray) -> bool:
    """True if a clip is dynamic: at least a quarter of its pairs of pictures are above the threshold.

    Source: VBench's dynamic degree, which is the share of such clips.
    """
    needed = max(1, round(_MOVING_SHARE * (len(strengths) + 1)))
    return bool((strengths > 1).sum() >= needed)


def movement(frames: np.ndarray) -> np.ndarray:
    """Mean absolute difference of consecutive frames, pixels in [0, 1], (F - 1,)."""
    small = np.stack([cv2.resize(frame, (64, 64), interpolation=cv2.INTER_AREA) for frame in frames]) / 255.0
    return np.abs(np.diff(small, axis=0)).mean((1, 2, 3))


def image_quality(frames: np.ndarray) -> float:
    """Quality in [0, 1] of up to eight frames of (F, H, W, 3) uint8: 1 minus the perceptual blur, lowered by noise.

    Source: the blur of Crete et al. (2007).

    Raises:
        ImportError: If scikit-image is missing.
    """
    try:
        from skimage.measure import blur_effect
    except ImportError as error:
        message = "Measuring sharpness needs the package scikit-image: pip install scikit-image."
        raise ImportError(message, name=error.name) from error
    chosen = frames[np.unique(np.linspace(0, len(frames) - 1, _QUALITY_FRAMES).round().astype(int))]
    scores = []
    for frame in chosen:
        scale = min(1.0, _QUALITY_SIDE / max(frame.shape[:2]))
        size = max(16, round(frame.shape[1] * scale)), max(16, round(frame.shape[0] * scale))
        grey = cv2.cvtColor(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
        scores.append((1 - float(np.asarray(blur_effect(grey)))) * math.exp(-noise_level(grey) / _NOISE_SCALE))
    return float(np.mean(scores))


def noise_level(grey: np.ndarray) -> float:
    """Standard deviation of the noise in a picture (H, W), in units of its 256 levels; robust to edges.

    Source: the operator of Immerkaer (1996) with a median in place of its mean.
    """
    response = cv2.filter2D(grey.astype(np.float32), -1, _LAPLACIANS)[1:-1, 1:-1]
    return float(np.median(np.abs(response)) / 0.6745 / 6)
