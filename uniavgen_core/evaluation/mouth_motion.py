"""Motion of a speaking mouth: crops of the mouth that follow a detected face, and how much they change.

Dimension key: F video frames, H picture height, W picture width, S side of a crop.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from ..media.faces.face_detection import FaceDetector
from ..media.faces.face_tracks import Face, Track, sightings, track_faces
from .mouth_finder import Pictures, to_bytes

SIDE = 96
_SEEN_SHARE = 0.8
_SMOOTHED = 7
_EYES, _CORNERS = slice(0, 2), slice(3, 5)
_BLUR = 1.5
_TOP, _ACROSS = SIDE // 4, SIDE // 5
_WIDE, _UP, _DOWN = 0.35, 0.2, 0.3
"""Half width of the mouth's surroundings, and their reach up and down, as shares of the face's width and height."""


@dataclass(frozen=True)
class MouthTrack:
    """Place of one mouth in every frame.

    Attributes:
        middles: Middle between the corners, pixels (x, y), (F, 2).
        angles: Slope of the line through the eyes, radians, (F,).
        reach: Distance from the eyes to the mouth in every frame, pixels, (F,).
        boxes: Surroundings of the mouth: left, top, right, bottom, pixels, all of one size, (F, 4).
    """

    middles: np.ndarray
    angles: np.ndarray
    reach: np.ndarray
    boxes: np.ndarray


def find_mouth_track(frames: Pictures, detector: FaceDetector) -> MouthTrack | None:
    """Follow the mouth of the face that is seen largest and longest; None if none is seen in 80 % of the frames.

    Args:
        frames: RGB, uint8 or floats in [0, 1], (F, H, W, 3), F at least 8.
        detector: Face detector.
    """
    from scipy.signal import savgol_filter  # At the top it would be a third of the nodes' import.

    tracks = track_faces(
        [[face for face in detector.find(to_bytes(frame)) if face.landmarks is not None] for frame in frames]
    )
    track: Track = max(tracks, key=_weight, default=[])
    if sightings(track) < _SEEN_SHARE * len(frames):
        return None
    seen = [number for number, face in enumerate(track) if face is not None]
    faces: list[Face] = [face for face in track if face is not None]
    points = np.stack([face.landmarks for face in faces if face.landmarks is not None]).astype(np.float64)
    every = np.arange(len(frames))
    points = np.stack([[np.interp(every, seen, line) for line in point] for point in points.transpose(1, 2, 0)])
    points = np.asarray(savgol_filter(points.transpose(2, 0, 1), _SMOOTHED, 2, axis=0))
    eyes, middles = points[:, _EYES], points[:, _CORNERS].mean(1)
    across = eyes[:, 1] - eyes[:, 0]
    reach = np.maximum(np.linalg.norm(middles - eyes.mean(1), axis=1), 0.6 * np.linalg.norm(across, axis=1))
    wide, high = np.median([face.box[2:] - face.box[:2] for face in faces], axis=0)
    corners = np.array([[-_WIDE * wide, -_UP * high], [_WIDE * wide, _DOWN * high]])
    boxes = (middles[:, None] + corners).reshape(-1, 4)
    return MouthTrack(middles, np.arctan2(across[:, 1], across[:, 0]), reach, boxes)


def track_of_boxes(boxes: np.ndarray) -> MouthTrack:
    """Track of a mouth whose surroundings are known, (F, 4), all of one size."""
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    reach = np.full(len(boxes), float((boxes[0, 2:] - boxes[0, :2]).mean() / 2))
    return MouthTrack(middles, np.zeros(len(boxes)), reach, boxes)


def _weight(track: Track) -> float:
    return sum(face.size for face in track if face is not None)


def mouth_crops(frames: Pictures, track: MouthTrack) -> np.ndarray:
    """Brightness around the mouth, upright, of one size, with zero mean and unit deviation in each frame, (F, S, S)."""
    crops = []
    for frame, middle, angle, reach in zip(frames, track.middles, track.angles, track.reach, strict=True):
        across, down = np.cos(angle) * 2 * reach / SIDE, np.sin(angle) * 2 * reach / SIDE
        turn = np.array([[across, -down], [down, across]])
        first = middle + 0.5 - turn @ np.full(2, SIDE / 2 + 0.5)
        rows = (*turn[0], first[0], *turn[1], first[1])
        picture = Image.fromarray(to_bytes(frame))
        crop = picture.transform((SIDE, SIDE), Image.Transform.AFFINE, rows, Image.Resampling.BILINEAR)
        grey = gaussian_filter(np.asarray(crop, np.float32).mean(-1), _BLUR)
        crops.append((grey - grey.mean()) / max(float(grey.std()), 1e-6))
    return np.stack(crops)


def motion_energy(crops: np.ndarray) -> np.ndarray:
    """Mean absolute change of the lower part of crops (F, S, S) from each frame to the next, (F - 1,)."""
    return np.abs(np.diff(crops[:, _TOP:, _ACROSS : SIDE - _ACROSS], axis=0)).mean((1, 2))
