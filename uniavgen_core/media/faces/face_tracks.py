"""Face tracking over the frames of a clip: assignment, filling of gaps, and smoothing.

Dimension key: F video frames, P landmarks, N tracks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.optimize import linear_sum_assignment

FEWEST_SHARE, FEWEST_AT_MOST = 10, 8
"""By default a face must be visible in a tenth of a clip's frames, but in no more than 8 (half a second at 16 fps):
false detections last 1 to 4 frames."""
SMALL_PART = 0.25
"""Faces whose frames times size are below this share of the largest face's are ordered after the others."""
FARTHEST_STEP = 1.0
"""Largest distance between two sightings of one face, in units of its size."""
_JUMP, _AROUND_A_JUMP = 0.1, 5
"""Distance from the usual place that counts as a jump, in units of the face's size, and frames whose median that is."""
_BOX_VALUES = 4


@dataclass(frozen=True)
class Face:
    """One face in one frame.

    Attributes:
        box: Left, top, right and bottom, pixels, (4,) float32.
        landmarks: Points of the face (x, y), pixels, (P, 2) float32; None where only the box is known.
        score: Confidence of the detector, in [0, 1].
    """

    box: np.ndarray
    landmarks: np.ndarray | None = None
    score: float = 1.0

    @property
    def center(self) -> np.ndarray:
        """Middle of the box (x, y), pixels, (2,)."""
        return (self.box[:2] + self.box[2:]) / 2

    @property
    def size(self) -> float:
        """Mean of the box's width and height, pixels."""
        return float((self.box[2:] - self.box[:2]).mean())


Track = list[Face | None]
"""One face in every frame of a clip; None where it is not seen."""


def track_faces(frames: Sequence[Sequence[Face]], fewest: int = 1) -> list[Track]:
    """Connect the faces of single frames to tracks.

    Each face continues the track whose last sighting, however long ago, is nearest. All faces of a frame are matched
    together, so that two people who pass each other closely are not confused.

    Args:
        frames: The faces of every frame, in any order.
        fewest: Fewest frames of a track; shorter ones are dropped as false detections.

    Returns:
        One track for each face, from left to right by their mean position.
    """
    tracks: list[Track] = []
    last_seen: list[Face] = []
    for frame_index, faces in enumerate(frames):
        owners = _match(last_seen, faces)
        for track in tracks:
            track.append(None)
        for face, owner in zip(faces, owners, strict=True):
            if owner is None:
                tracks.append([None] * frame_index + [face])
                last_seen.append(face)
            else:
                tracks[owner][-1] = last_seen[owner] = face
    tracks = [track for track in tracks if sightings(track) >= fewest]
    return sorted(tracks, key=lambda track: np.mean([face.center[0] for face in track if face is not None]))


def usual_fewest(tracks: Sequence[Track]) -> int:
    """Default for the fewest frames of a track; low enough that at least one track is left."""
    wanted = min(-(-max(map(len, tracks), default=0) // FEWEST_SHARE), FEWEST_AT_MOST)
    return min(wanted, max(map(sightings, tracks), default=0))


def main_faces_first(tracks: Sequence[Track]) -> list[Track]:
    """Large faces, then those below ``SMALL_PART``; both in the order given."""
    parts = [sum(face.size for face in track if face is not None) for track in tracks]
    is_small = [part < SMALL_PART * max(parts) for part in parts]
    return [track for wanted in (False, True) for track, small in zip(tracks, is_small, strict=True) if small is wanted]


def sightings(track: Track) -> int:
    """Number of frames in which a face is visible."""
    return sum(face is not None for face in track)


def _match(known: Sequence[Face], faces: Sequence[Face]) -> list[int | None]:
    """Index of the known face that each face continues; None for a new one."""
    owners: list[int | None] = [None] * len(faces)
    if known and faces:
        steps = np.array([[_step(one, other) for other in faces] for one in known])
        # A forbidden step costs more than any number of allowed ones, so it never displaces an allowed match.
        costs = np.where(steps <= FARTHEST_STEP, steps, 1e6)
        for track, face in zip(*linear_sum_assignment(costs), strict=True):
            if steps[track, face] <= FARTHEST_STEP:
                owners[face] = int(track)
    return owners


def _step(one: Face, other: Face) -> float:
    """Distance of two faces in units of their mean size."""
    return float(np.linalg.norm(one.center - other.center) / max((one.size + other.size) / 2, 1e-6))


def fill_gaps(track: Track, longest: int) -> Track:
    """Interpolate a face linearly over frames in which it is not visible.

    Args:
        track: One face, F frames.
        longest: Longest gap that is filled, frames. Longer gaps stay empty, as do the frames before the first sighting
            and after the last.

    Returns:
        The track with its short gaps filled.
    """
    filled = list(track)
    seen = [(index, face) for index, face in enumerate(track) if face is not None]
    for (before, first), (after, last) in pairwise(seen):
        if after - before - 1 <= longest:
            for index in range(before + 1, after):
                share = (index - before) / (after - before)
                values = (1 - share) * _packed(first) + share * _packed(last)
                filled[index] = _unpacked(values, min(first.score, last.score))
    return filled


def without_jumps(track: Track) -> Track:
    """Replace sightings that jump away for one or two frames, as when a detector takes shut eyes for a mouth.

    Args:
        track: One face, F frames.

    Returns:
        The track, in which box and landmarks of such frames are the median of the five frames around each.
    """
    from scipy.ndimage import median_filter  # At the top it would slow down the nodes' import.

    steady = list(track)
    for run in _runs(track):
        faces = [face for index in run if (face := track[index]) is not None]
        values = np.stack([_packed(face) for face in faces])
        usual = median_filter(values, (_AROUND_A_JUMP, 1), mode="nearest")
        jumps = np.abs(values - usual).max(1) > _JUMP * np.array([face.size for face in faces])
        for place in np.flatnonzero(jumps):
            steady[run[place]] = _unpacked(usual[place], faces[place].score)
    return steady


def smooth(track: Track, window: int) -> Track:
    """Smooth a face's outline by a moving average, which leaves steady motion unchanged.

    Args:
        track: One face, F frames.
        window: Frames of the average, centred on each frame; rounded up to an odd number. 1 changes nothing.

    Returns:
        The smoothed track. The average does not cross gaps; at both ends of a run of frames a line is fitted.
    """
    from scipy.signal import savgol_filter  # At the top it would be a third of the nodes' import.

    smoothed = list(track)
    for run in _runs(track):
        length = min(window | 1, (len(run) - 1) | 1)
        if length >= 3:
            faces = [face for index in run if (face := track[index]) is not None]
            values = np.stack([_packed(face) for face in faces])
            values = np.asarray(savgol_filter(values, length, polyorder=1, axis=0, mode="interp"))
            for index, face, row in zip(run, faces, values, strict=True):
                smoothed[index] = _unpacked(row, face.score)
    return smoothed


def _runs(track: Track) -> list[range]:
    """Runs of consecutive frames in which the face is visible."""
    edges = np.flatnonzero(np.diff([0, *(face is not None for face in track), 0]))
    return [range(start, stop) for start, stop in edges.reshape(-1, 2)]


def _packed(face: Face) -> np.ndarray:
    """Box and landmarks in one row, (4 + 2P,)."""
    return face.box if face.landmarks is None else np.concatenate([face.box, face.landmarks.reshape(-1)])


def _unpacked(values: np.ndarray, score: float) -> Face:
    values = values.astype(np.float32)
    landmarks = values[_BOX_VALUES:].reshape(-1, 2) if len(values) > _BOX_VALUES else None
    return Face(values[:_BOX_VALUES], landmarks, score)
