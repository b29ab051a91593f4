"""Where new lips go: around the mouth of the main face, in every frame in which it is seen."""

import numpy as np
import pytest

from uniavgen_core.media.faces.face_tracks import Face
from uniavgen_core.media.faces.mouth_regions import MOUTH, WHOLE_FACE, find_region

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
