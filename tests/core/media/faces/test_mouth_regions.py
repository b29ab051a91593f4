"""Where new lips go: around the mouth of the main face, in every frame in which it is seen."""

import numpy as np
import pytest

from uniavgen_core.media.faces.face_tracks import Face
from uniavgen_core.media.faces.mouth_regions import MOUTH, WHOLE_FACE, find_region, view_around

SIZE = (120, 160)


def face(left, top, side, landmarks=True):
    """A square face with eyes, nose and mouth corners where YuNet finds them."""
    points = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]]) * side + (left, top)
    box = np.array([left, top, left + side, top + side], np.float32)
    return Face(box, points.astype(np.float32) if landmarks else None, 0.9)


def centre(weights):
    rows, columns = np.nonzero(weights > 0.5)
    return columns.mean(), rows.mean()


def test_the_mouths_region_lies_around_its_corners_and_reaches_the_chin():
    found = find_region([[face(40, 20, 80)]] * 3, SIZE, MOUTH)
    assert centre(found.weights[1]) == pytest.approx((80, 20 + 0.9 * 80), abs=2)
    rows, columns = np.nonzero(found.weights[1])
    assert rows.max() > 100
    assert rows.min() > 20 + 0.48 * 80
    assert columns.min() >= 40


def test_without_landmarks_the_mouth_is_taken_to_be_low_in_the_box():
    found = find_region([[face(40, 20, 80, landmarks=False)]], SIZE, MOUTH)
    assert centre(found.weights[0]) == pytest.approx((80, 20 + 0.86 * 80), abs=2)


def test_the_region_of_a_face_is_all_of_it_and_follows_it():
    found = find_region([[face(20 + 2 * n, 20, 60)] for n in range(10)], SIZE, WHOLE_FACE)
    assert centre(found.weights[9])[0] - centre(found.weights[0])[0] == pytest.approx(18, abs=4)
    assert found.weights[5].max() == 1


def test_of_two_faces_the_main_one_is_taken_and_both_are_counted():
    found = find_region([[face(5, 5, 30), face(60, 20, 90)]] * 2, SIZE, WHOLE_FACE)
    assert found.faces == 2
    assert centre(found.weights[0])[0] == pytest.approx(105, abs=3)


def test_where_the_face_is_not_seen_for_long_nothing_is_generated_and_short_gaps_are_filled():
    frames = [[face(40, 20, 60)]] * 10 + [[]] * 3 + [[face(40, 20, 60)]] * 10
    assert find_region(frames, SIZE, MOUTH).weights[11].max() == 1
    lost = find_region([[face(40, 20, 60)]] * 4 + [[]] * 20 + [[face(40, 20, 60)]] * 4, SIZE, MOUTH)
    assert lost.weights[:4].max() == lost.weights[-4:].max() == 1
    assert lost.weights[4:-4].max() == 0
    assert (lost.seen, lost.faces) == (8, 1)


def test_no_face_has_no_region_and_an_unknown_region_is_refused():
    assert find_region([[], []], SIZE, MOUTH) is None
    with pytest.raises(ValueError, match="mouth or face"):
        find_region([[face(40, 20, 60)]], SIZE, "nose")


def test_a_small_face_is_viewed_in_a_square_within_the_picture_and_a_large_one_in_all_of_it():
    assert view_around(np.array([300, 200, 340, 250]), (720, 1280)) == (258, 162, 383, 287)
    left, top, right, bottom = view_around(np.array([0, 0, 40, 50]), (720, 1280))
    assert (left, top, right, bottom) == (0, 0, 125, 125)
    assert view_around(np.array([1240, 680, 1280, 720]), (720, 1280)) == (1180, 620, 1280, 720)
    assert view_around(np.array([10, 10, 70, 70]), (128, 128)) is None


def test_the_face_of_a_region_is_the_box_around_it_in_all_frames():
    found = find_region([[face(20 + 4 * n, 20, 60)] for n in range(5)], SIZE, MOUTH)
    assert found.face == pytest.approx(np.array([20, 20, 96, 80]), abs=1)


def test_the_mouths_region_ends_below_large_eyes():
    drawn = face(40, 20, 80)
    drawn.landmarks[:2, 1] = 20 + 0.62 * 80
    found = find_region([[drawn]], SIZE, MOUTH)
    rows, _ = np.nonzero(found.weights[0])
    assert rows.min() > 20 + 0.62 * 80
