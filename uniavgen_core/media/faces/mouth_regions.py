"""Regions of a face that get new lips: the mouth with jaw and cheeks, or the whole face.

Dimension key: F video frames.
"""

import numpy as np

from .face_tracks import Face, Track

MOUTH, WHOLE_FACE = "mouth", "face"
REGIONS = (MOUTH, WHOLE_FACE)
_CORNERS = slice(3, 5)
_LANDMARKS = 5
"""Eyes, nose and mouth corners, as YuNet finds them; other detectors' points are not used."""
_HALF_WIDTH, _UP, _DOWN = 0.42, 0.26, 0.42
"""Reach of the mouth's region, shares of the face's width and height; a jaw drops below the face's box."""
_LOW = 0.76
"""Height of the mouth in the box of a face without landmarks."""


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
    if face.landmarks is not None and len(face.landmarks) == _LANDMARKS:
        middle = face.landmarks[_CORNERS].mean(0)
    else:
        middle = np.array([face.center[0], face.box[1] + _LOW * high])
    reach = np.array([[-_HALF_WIDTH * wide, -_UP * high], [_HALF_WIDTH * wide, _DOWN * high]])
    return Face((middle + reach).reshape(-1).astype(np.float32), score=face.score)
