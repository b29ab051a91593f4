"""Measures of damage in generated pictures: another person's face, blur and flicker.

Each needs no learned weights and changes monotonically with its own kind of damage (``test_damage.py``).

Dimension key: F video frames, H picture height, W picture width, D size of a feature.
"""

import cv2
import numpy as np

from ..media.faces.face_detection import FaceDetector
from ..media.faces.face_tracks import Face, Track, fill_gaps, sightings, smooth, track_faces
from .fine_detail import relative_detail
from .picture_standins import features

FACE_SIDE = 128
_FACE_SHARE, _MARGIN = 0.5, 0.15
_FACE_FRAMES = 32
_LONGEST_GAP, _SMOOTHED = 12, 5
_STILLEST = 0.5


def identity(frames: np.ndarray, detector: FaceDetector, reference: np.ndarray | None = None) -> float:
    """Likeness of the main face over a clip to that of its first picture, or of a reference.

    Faces are cropped by the detector; where it finds none in the first picture, as in most drawings, whole pictures are
    compared.

    Args:
        frames: RGB, (F, H, W, 3) uint8.
        detector: Face detector.
        reference: RGB picture to compare with in place of the first, (H, W, 3) uint8.

    Returns:
        Mean cosine similarity over the half of the frames that are least alike, in [0, 1], 1 for the same face; so a
        face that changes late in the clip counts in full.
    """
    chosen = frames[:: max(1, len(frames) // _FACE_FRAMES)]
    if reference is not None:
        scale = frames.shape[1] / reference.shape[0]
        chosen = np.concatenate([cv2.resize(reference, None, fx=scale, fy=scale)[None, :, : frames.shape[2]], chosen])
    vectors = features(face_crops(chosen, detector))
    likeness = np.sort(np.clip(vectors[1:] @ vectors[0], 0, 1))
    return float(likeness[: max(1, len(likeness) // 2)].mean()) if len(likeness) else 1.0


def face_crops(frames: np.ndarray, detector: FaceDetector) -> np.ndarray:
    """Square crops of the face that is seen longest, (F, 128, 128, 3) uint8; whole pictures if none is seen.

    A frame in which the face is lost is cropped where the face was last.
    """
    tracks = track_faces([detector.find(frame) for frame in frames])
    track: Track = max(tracks, key=sightings, default=[])
    if not track or track[0] is None or sightings(track) < _FACE_SHARE * len(frames):
        return np.stack([cv2.resize(frame, (FACE_SIDE, FACE_SIDE), interpolation=cv2.INTER_AREA) for frame in frames])
    faces = smooth(fill_gaps(track, _LONGEST_GAP), _SMOOTHED)
    crops, last = [], track[0]
    for frame, face in zip(frames, faces, strict=True):
        last = face or last
        crops.append(_crop(frame, last))
    return np.stack(crops)


def _crop(frame: np.ndarray, face: Face) -> np.ndarray:
    """Square around a face with a margin, (128, 128, 3)."""
    side = max(2, round(face.size * (1 + 2 * _MARGIN)))
    return cv2.resize(cv2.getRectSubPix(frame, (side, side), face.center.tolist()), (FACE_SIDE, FACE_SIDE))


def sharpness(frames: np.ndarray, reference: np.ndarray | None = None) -> float:
    """Fine detail of a clip relative to that of its first picture, or of a reference.

    Args:
        frames: RGB, (F, H, W, 3) uint8.
        reference: RGB picture, or the true frames, (H, W, 3) or (F, H, W, 3) uint8; resized to the frames' size.

    Returns:
        Ratio of the variances of the Laplacian, 1 for equal detail; blur lowers it, noise and ringing raise it.
    """
    wanted = frames[:1] if reference is None else reference.reshape(-1, *reference.shape[-3:])
    size = frames.shape[2], frames.shape[1]
    wanted = [cv2.resize(picture, size, interpolation=cv2.INTER_AREA) for picture in wanted]
    rest = frames[1:] if reference is None and len(frames) > 1 else frames
    return relative_detail(rest, wanted)


def flicker(frames: np.ndarray) -> float:
    """Trembling of the part of the picture that moves least, in levels of 255.

    Args:
        frames: RGB, (F, H, W, 3) uint8, F at least 3.

    Returns:
        Root mean square of the second difference in time over the stillest half of the pixels: steady movement and
        slow changes of light do not count.
    """
    greys = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]).astype(np.float32)
    jumps = np.square(greys[2:] - 2 * greys[1:-1] + greys[:-2]).mean(0)
    return float(np.sqrt(np.sort(jumps, axis=None)[: max(1, int(_STILLEST * jumps.size))].mean()))
