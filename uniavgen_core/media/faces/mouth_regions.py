"""Regions of a face that get new lips: the mouth with jaw and cheeks, or the whole face.

Dimension key: F video frames, H rows, W columns.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .face_masks import MaskShape, Outline, draw_masks
from .face_tracks import Face, Track, fill_gaps, sightings, smooth, track_faces, usual_fewest, without_jumps

MOUTH, WHOLE_FACE = "mouth", "face"
REGIONS = (MOUTH, WHOLE_FACE)
_EYES, _CORNERS = slice(0, 2), slice(3, 5)
_LANDMARKS = 5
"""Eyes, nose and mouth corners, as YuNet finds them; other detectors' points are not used."""
_HALF_WIDTH, _UP, _DOWN = 0.42, 0.22, 0.42
"""Reach of the mouth's region, shares of the face's width and height; a jaw drops below the face's box."""
_TOWARDS_EYES = 0.45
"""Largest share of the way from mouth to eyes that it covers: drawn eyes are large, and the user's own blinks stay."""
_LOW = 0.76
"""Height of the mouth in the box of a face without landmarks."""


_SHAPE = MaskShape(Outline.ELLIPSE, dilation=0.05, feather=0.12)
_VIEW, _MOST_OF_A_PICTURE = 2.5, 0.8
_SMOOTHED, _LONGEST_GAP = 5, 12
"""Frames: of the moving average, and of a gap in which a face is taken to be where it was and will be."""


@dataclass(frozen=True)
class FaceRegion:
    """A region of the main face of a video, the one seen largest and longest.

    Attributes:
        weights: 1 inside and 0 outside, with a soft edge between; 0 where the face is not seen, (F, H, W).
        face: Box around the face in all frames: left, top, right, bottom, pixels, (4,).
        faces: Number of faces in the video.
        seen: Number of frames in which this one is seen.
    """

    weights: np.ndarray
    face: np.ndarray
    faces: int
    seen: int


def find_region(faces: Sequence[Sequence[Face]], size: tuple[int, int], region: str) -> FaceRegion | None:
    """Follow a region of the main face through a video; None without a face.

    Args:
        faces: Faces of every frame, F.
        size: Rows and columns of the frames.
        region: One of ``REGIONS``.

    Raises:
        ValueError: If the region is unknown.
    """
    tracks = track_faces(faces)
    if not tracks:
        return None
    tracks = [track for track in tracks if sightings(track) >= usual_fewest(tracks)]
    main = max(tracks, key=lambda track: sum(face.size for face in track if face is not None))
    track = smooth(without_jumps(fill_gaps(main, _LONGEST_GAP)), _SMOOTHED)
    weights = draw_masks([region_of_track(track, region)], len(faces), size, _SHAPE)
    boxes = np.stack([face.box for face in track if face is not None])
    around = np.concatenate([boxes[:, :2].min(0), boxes[:, 2:].max(0)])
    return FaceRegion(weights, around, len(tracks), sightings(track))


def view_around(box: np.ndarray, size: tuple[int, int]) -> tuple[int, int, int, int] | None:
    """Square part of a picture around a face, in which it is as large as in a portrait.

    Args:
        box: Left, top, right and bottom of the face in all frames, pixels.
        size: Rows and columns of the frames.

    Returns:
        Left, top, right and bottom, pixels; None where that would be most of the picture.
    """
    side = round(_VIEW * float((box[2:] - box[:2]).max()))
    if side >= _MOST_OF_A_PICTURE * min(size):
        return None
    corner = [
        int(np.clip(round(float(middle) - side / 2), 0, length - side))
        for middle, length in zip((box[:2] + box[2:]) / 2, size[::-1], strict=True)
    ]
    return corner[0], corner[1], corner[0] + side, corner[1] + side


def region_of_track(track: Track, region: str) -> Track:
    """Boxes of a region of one face, for ``draw_masks``.

    Args:
        track: The face in every frame, None where it is not seen, F.
        region: One of ``REGIONS``.

    Raises:
        ValueError: If the region is unknown.
    """
    if region not in REGIONS:
        raise ValueError(f"region is {region!r}; it must be {' or '.join(REGIONS)}.")
    if region == WHOLE_FACE:
        return track
    return [None if face is None else _mouth(face) for face in track]


def _mouth(face: Face) -> Face:
    wide, high = face.box[2:] - face.box[:2]
    up = _UP * high
    if face.landmarks is not None and len(face.landmarks) == _LANDMARKS:
        middle = face.landmarks[_CORNERS].mean(0)
        up = min(up, _TOWARDS_EYES * float(np.linalg.norm(middle - face.landmarks[_EYES].mean(0))))
    else:
        middle = np.array([face.center[0], face.box[1] + _LOW * high])
    reach = np.array([[-_HALF_WIDTH * wide, -up], [_HALF_WIDTH * wide, _DOWN * high]])
    return Face((middle + reach).reshape(-1).astype(np.float32), score=face.score)
