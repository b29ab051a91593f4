"""Face masks from outlines: box, ellipse or convex hull of the landmarks, dilated or shrunk, with a soft edge.

Every outline is convex, so a pixel's distance to the edge is its distance to the nearest side.
Dimension key: F video frames, H rows, W columns, V corners and E sides of an outline, P landmarks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from scipy.ndimage import find_objects, label
from scipy.spatial import ConvexHull, QhullError

from .face_tracks import Face, Track

_ELLIPSE_CORNERS = 64
_MASK_LANDMARKS = 64
_SMALLEST_AREA = 16  # Smaller regions of a mask are not faces; pixels.


class Outline(Enum):
    """Outline of a face in a mask."""

    BOX = "box"
    ELLIPSE = "ellipse"
    HULL = "hull"


@dataclass(frozen=True)
class MaskShape:
    """Shape of the mask of a face.

    Attributes:
        outline: Outline of the face.
        dilation: Growth of the outline on every side, as a share of its width and height; negative shrinks it.
        feather: Width of the soft edge as a share of the face's size, half inside and half outside the outline.

    Raises:
        ValueError: If the dilation leaves nothing or the feather is negative.
    """

    outline: Outline = Outline.ELLIPSE
    dilation: float = 0.0
    feather: float = 0.0

    def __post_init__(self) -> None:
        if self.dilation <= -0.5:
            raise ValueError(f"dilation is {self.dilation}; it must be greater than -0.5, where nothing is left.")
        if self.feather < 0:
            raise ValueError(f"feather is {self.feather}; it must not be negative.")


def draw_masks(tracks: Sequence[Track], num_frames: int, size: tuple[int, int], shape: MaskShape) -> np.ndarray:
    """Draw the face masks of a clip.

    Args:
        tracks: Faces, each F frames long.
        num_frames: Video frames F.
        size: Height and width, pixels.
        shape: Shape of the masks.

    Returns:
        Masks in [0, 1], 1 on the faces, float32, (F, H, W); where faces overlap, the larger value.

    Raises:
        ValueError: If a hull is asked for and the faces have no landmarks.
    """
    masks = np.zeros((num_frames, *size), np.float32)
    for track in tracks:
        for mask, face in zip(masks, track, strict=True):
            if face is not None:
                _draw(mask, face, shape)
    return masks


def _outline_of(face: Face, shape: MaskShape) -> np.ndarray:
    """Corners (x, y) of the face's outline, whose convex hull it is, pixels, (V, 2)."""
    half = (face.box[2:] - face.box[:2]) / 2
    if shape.outline is Outline.HULL:
        if face.landmarks is None:
            raise ValueError("These faces are boxes without landmarks, so they have no hull. Choose box or ellipse.")
        corners = face.landmarks - face.center
    elif shape.outline is Outline.ELLIPSE:
        angles = np.linspace(0, 2 * np.pi, _ELLIPSE_CORNERS, endpoint=False)
        corners = np.stack([np.cos(angles), np.sin(angles)], axis=1) * half
    else:
        corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half
    return face.center + corners * (1 + 2 * shape.dilation)


def _draw(mask: np.ndarray, face: Face, shape: MaskShape) -> None:
    """Draw one face into a mask (H, W), in place."""
    corners = _outline_of(face, shape)
    try:
        sides = ConvexHull(corners).equations.astype(np.float32)  # Outward normal and offset, (E, 3).
    except QhullError:  # The corners span no area.
        return
    feather = max(1.0, shape.feather * face.size)  # One pixel anti-aliases the edge.
    start = np.maximum(np.floor(corners.min(0) - feather), 0).astype(int)
    stop = np.minimum(np.ceil(corners.max(0) + feather), mask.shape[::-1]).astype(int)
    if (start >= stop).any():
        return
    columns, rows = (np.arange(*span, dtype=np.float32) + 0.5 for span in zip(start, stop, strict=True))
    depth = np.full((len(rows), len(columns)), np.inf, np.float32)
    for across, down, offset in sides:
        np.minimum(depth, -(across * columns + down * rows[:, None] + offset), out=depth)
    region = mask[start[1] : stop[1], start[0] : stop[0]]
    np.maximum(region, np.clip(0.5 + depth / feather, 0, 1), out=region)


def faces_in_masks(masks: np.ndarray) -> list[list[Face]]:
    """Turn every connected region, from 0.5 on, of masks (F, H, W) into a face that can be drawn like a detected one.

    Each has 64 landmarks around its convex hull, in the same order in every frame.
    """
    return [_faces_in_mask(mask >= 0.5) for mask in masks]


def _faces_in_mask(mask: np.ndarray) -> list[Face]:
    found: Any = label(mask)  # scipy types this by its early return, a number
    labels, faces = found[0], []
    places: list[Any] = find_objects(labels)
    for number, (rows, columns) in enumerate(places, start=1):
        part = labels[rows, columns] == number
        if part.sum() >= _SMALLEST_AREA:
            origin = np.array([columns.start, rows.start])
            box = np.concatenate([origin, [columns.stop, rows.stop]]).astype(np.float32)
            faces.append(Face(box, _landmarks_round(part) + origin.astype(np.float32)))
    return faces


def _landmarks_round(part: np.ndarray) -> np.ndarray:
    """Intersections of rays from the middle with the convex hull of a mask (H, W), (64, 2)."""
    rows = np.flatnonzero(part.any(1))
    left = part[rows].argmax(1)
    right = part.shape[1] - part[rows, ::-1].argmax(1)
    edges = np.concatenate([np.stack([x, rows + low], axis=1) for x in (left, right) for low in (0, 1)])
    hull = ConvexHull(edges)
    center = edges[hull.vertices].mean(0)
    angles = np.linspace(0, 2 * np.pi, _MASK_LANDMARKS, endpoint=False)
    rays = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    normals, offsets = hull.equations[:, :2], hull.equations[:, 2]
    with np.errstate(divide="ignore"):
        lengths = -(normals @ center + offsets) / np.maximum(rays @ normals.T, 0)
    return (center + rays * lengths.min(1, keepdims=True)).astype(np.float32)
