"""Share of face in the latent cells of a clip.

Source: UniAVGen (arXiv:2511.03334), section 3.3: a box per face and frame; a latent shows a face where any of its four
frames does, and a cell's weight is the share of its area. The paper finds boxes with RetinaFace, this pack with YuNet.
Dimension key: F video frames, H and W pixel rows and columns.
"""

from functools import lru_cache

import numpy as np

from ...media.faces.face_detection import FaceDetector
from ...media.faces.face_masks import MaskShape, Outline, draw_masks
from ...media.faces.face_tracks import fill_gaps, track_faces
from .clip_record import BadClipError

_LONGEST_GAP = 8
_FEWEST_SIGHTINGS = 3
_BOX = MaskShape(Outline.BOX)


@lru_cache(maxsize=1)
def open_detector() -> FaceDetector:
    """Load the detector; a process keeps it.

    Raises:
        ImportError: If OpenCV or the weights are not installed; says what to install.
    """
    return FaceDetector()


def face_boxes(frames: np.ndarray, required: bool = False) -> np.ndarray:
    """Find the faces of a clip.

    Args:
        frames: RGB, (F, H, W, 3) uint8.
        required: Refuse a clip without a face.

    Returns:
        255 in the boxes of all faces and 0 elsewhere, (F, H, W) uint8. Of a face that is lost for at most half a
        second, the boxes in between are filled in; what is seen in fewer than three frames is taken for a mistake.

    Raises:
        BadClipError: If a face is required and there is none.
    """
    detector = open_detector()
    tracks = track_faces([detector.find(frame) for frame in frames], min(_FEWEST_SIGHTINGS, len(frames)))
    if required and not tracks:
        raise BadClipError("no face", "No face was found. Leave the clip out, or encode without --faces require.")
    filled = [fill_gaps(track, _LONGEST_GAP) for track in tracks]
    masks = draw_masks(filled, len(frames), frames.shape[1:3], _BOX)
    return np.where(masks >= 0.5, 255, 0).astype(np.uint8)
