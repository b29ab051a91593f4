"""Masks of faces whose outlines are known."""

from itertools import pairwise

import numpy as np
import pytest

from uniavgen_core.media.faces.face_masks import MaskShape, Outline, draw_masks, faces_in_masks
from uniavgen_core.media.faces.face_tracks import Face

SIZE = (80, 100)
WIDTH, HEIGHT = 40, 20
BOX = np.array([30, 40, 30 + WIDTH, 40 + HEIGHT], np.float32)
FACE = Face(BOX)


def draw(face=FACE, **shape):
    shape["outline"] = Outline(shape.pop("outline", "box"))
    return draw_masks([[face]], 1, SIZE, MaskShape(**shape))[0]


def test_a_box_covers_exactly_its_pixels():
    mask = draw()
    assert mask[40:60, 30:70].min() == 1
    assert mask.sum() == WIDTH * HEIGHT


def test_half_covered_pixels_get_half():
    mask = draw(Face(BOX + np.array([0.5, 0, 0.5, 0], np.float32)))
    assert np.allclose(mask[50, [29, 30, 31, 69, 70, 71]], [0, 0.5, 1, 1, 0.5, 0])


def test_an_ellipse_has_the_area_and_the_reach_of_its_box():
    mask = draw(outline="ellipse")
    assert mask.sum() == pytest.approx(np.pi / 4 * WIDTH * HEIGHT, rel=0.02)
    assert (mask[50, 31], mask[50, 68], mask[41, 50], mask[58, 50]) == pytest.approx((1, 1, 1, 1), abs=0.1)
    assert mask[41, 31] == mask[58, 68] == 0


def test_a_hull_goes_round_the_landmarks_and_ignores_those_inside():
    corners = np.array([[30, 40], [70, 40], [50, 60]], np.float32)
    alone, inside = (draw(Face(BOX, points), outline="hull") for points in (corners, [*corners, (50, 50), (52, 45)]))
    assert alone.sum() == pytest.approx(WIDTH * HEIGHT / 2, rel=0.05)
    assert alone[42, 34] == 1
    assert alone[58, 34] == 0
    assert np.allclose(alone, inside, atol=1e-5)


def test_a_hull_without_landmarks_is_refused():
    with pytest.raises(ValueError, match="no hull"):
        draw(outline="hull")


def test_landmarks_in_one_line_cover_nothing():
    assert draw(Face(BOX, np.array([[30, 40], [50, 50], [70, 60]], np.float32)), outline="hull").max() == 0


@pytest.mark.parametrize("outline", ["box", "ellipse"])
def test_dilation_grows_every_side_by_its_share_of_the_face(outline):
    mask = draw(outline=outline, dilation=0.1)
    rows, columns = np.flatnonzero(mask.max(1) > 0.5), np.flatnonzero(mask.max(0) > 0.5)
    assert (columns[0], columns[-1] + 1) == (30 - 4, 70 + 4)
    assert (rows[0], rows[-1] + 1) == (40 - 2, 60 + 2)


def test_negative_dilation_shrinks():
    assert draw(dilation=-0.25).sum() == WIDTH * HEIGHT / 4


def test_the_soft_edge_falls_evenly_and_lies_half_outside():
    row = draw(feather=10 / 30)[50, 50:]  # the face's size is 30, so the edge is 10 pixels wide
    assert np.allclose(row[10:30], np.clip(1 - (np.arange(20) - 4.5) / 10, 0, 1), atol=1e-5)
    assert all(before >= after for before, after in pairwise(row))


def test_the_soft_edge_moves_no_area():
    assert draw(outline="ellipse", feather=0.2).sum() == pytest.approx(draw(outline="ellipse").sum(), rel=0.05)


def test_overlapping_faces_take_the_larger_value_and_missing_ones_draw_nothing():
    other = Face(BOX + np.float32(10))
    shape = MaskShape(Outline.ELLIPSE, feather=0.3)
    one, two = (draw_masks([[face]], 1, SIZE, shape) for face in (FACE, other))
    both = draw_masks([[FACE, None], [other, None]], 2, SIZE, shape)
    assert np.array_equal(both[:1], np.maximum(one, two))
    assert both[1].max() == 0


@pytest.mark.parametrize("shift", [(-50, 0), (80, 0), (0, -55), (0, 55), (-500, 0), (0, 500)])
def test_a_face_past_the_border_is_cut_there(shift):
    moved = Face(BOX + np.array([*shift, *shift], np.float32))
    left, top, right, bottom = moved.box
    visible = max(0, min(right, SIZE[1]) - max(left, 0)) * max(0, min(bottom, SIZE[0]) - max(top, 0))
    assert draw(moved).sum() == visible


@pytest.mark.parametrize(("shape", "message"), [({"dilation": -0.5}, "-0.5"), ({"feather": -0.1}, "-0.1")])
def test_impossible_shapes_are_refused(shape, message):
    with pytest.raises(ValueError, match=message):
        MaskShape(**shape)


def test_every_connected_part_of_a_mask_is_a_face():
    masks = np.zeros((2, 60, 90), np.float32)
    masks[0, 10:30, 5:25] = 1
    masks[0, 20:50, 60:80] = 0.6
    masks[0, 0:2, 0:3] = 1  # a spot
    masks[0, 40:59, 10:30] = 0.4  # too faint
    first, second = faces_in_masks(masks)
    assert sorted(tuple(face.box) for face in first) == [(5, 10, 25, 30), (60, 20, 80, 50)]
    assert second == []


def test_the_hull_of_a_mask_is_the_mask_again_if_it_is_convex():
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    disc = ((columns - 47) ** 2 + (rows - 33) ** 2 < 25**2).astype(np.float32)
    ((face,),) = faces_in_masks(disc[None])
    again = draw(face, outline="hull")
    assert np.abs(again - disc).mean() < 0.01
    assert np.abs(again - disc)[np.abs(np.hypot(columns - 47, rows - 33) - 25) > 2].max() < 1e-6


def test_landmarks_of_masks_start_at_the_same_side_so_that_they_can_be_averaged():
    masks = np.zeros((2, 60, 90), np.float32)
    masks[0, 10:30, 5:25] = 1
    masks[1, 12:32, 8:28] = 1
    (before,), (after,) = faces_in_masks(masks)
    assert np.allclose(after.landmarks - before.landmarks, (3, 2), atol=1e-4)


def test_a_line_one_pixel_wide_still_has_an_outline():
    masks = np.zeros((1, 60, 90), np.float32)
    masks[0, 20, 10:50] = 1
    ((face,),) = faces_in_masks(masks)
    assert np.allclose(face.landmarks.min(0), (10, 20), atol=1)
    assert np.allclose(face.landmarks.max(0), (50, 21), atol=1)
