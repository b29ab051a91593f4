"""Faces followed through a clip, from boxes whose paths are known."""

import numpy as np
import pytest

from uniavgen_core.media.faces.face_tracks import (
    Face,
    fill_gaps,
    main_faces_first,
    smooth,
    track_faces,
    usual_fewest,
    without_jumps,
)


def face(x, y=50.0, side=20.0, landmarks=None):
    return Face(np.array([x, y, x + side, y + side], np.float32), landmarks)


def lefts(track):
    return [None if seen is None else round(float(seen.box[0]), 3) for seen in track]


def test_faces_keep_their_tracks_whatever_order_the_finder_gives_them_in():
    frames = [[face(10 + 12 * i), face(200 - 12 * i)][:: (-1) ** i] for i in range(6)]
    left, right = track_faces(frames)
    assert lefts(left) == [10 + 12 * i for i in range(6)]
    assert lefts(right) == [200 - 12 * i for i in range(6)]


def test_tracks_are_counted_from_left_to_right_not_by_when_they_appear():
    late = track_faces([[face(200)], [face(200), face(10)], [face(200), face(10)]])
    assert [lefts(track) for track in late] == [[None, 10, 10], [200, 200, 200]]


def test_two_near_faces_are_told_apart_together_not_one_by_one():
    # The new left face is nearer to the old right one; only matching both together keeps them apart.
    left, right = track_faces([[face(0), face(18)], [face(15), face(33)]])
    assert (lefts(left), lefts(right)) == ([0, 15], [18, 33])


def test_a_face_far_away_is_another_one_and_costs_no_other_face_its_track():
    tracks = track_faces([[face(0), face(300)], [face(290), face(600)]])
    assert [lefts(track) for track in tracks] == [[0, None], [300, 290], [None, 600]]


def test_a_face_that_comes_back_after_a_gap_goes_on_with_its_track():
    frames = [[face(10)], [], [], [], [face(15)]]
    assert [lefts(track) for track in track_faces(frames)] == [[10, None, None, None, 15]]


def test_the_reach_grows_with_the_face():
    assert len(track_faces([[face(0, side=20)], [face(30, side=20)]])) == 2
    assert len(track_faces([[face(0, side=60)], [face(30, side=60)]])) == 1


def test_faces_seen_too_seldom_are_left_out():
    frames = [[face(100)], [face(100), face(0)], [face(100)]]
    assert [lefts(track) for track in track_faces(frames, fewest=2)] == [[100, 100, 100]]


@pytest.mark.parametrize(("frames", "fewest"), [(1, 1), (2, 1), (10, 1), (11, 2), (33, 4), (81, 8), (1000, 8)])
def test_by_default_a_face_is_seen_in_a_tenth_of_the_frames_but_no_more_than_eight(frames, fewest):
    assert usual_fewest(track_faces([[face(0)]] * frames)) == fewest


def test_by_default_a_face_is_left_where_all_are_seen_in_few_frames():
    assert usual_fewest(track_faces([[], [face(0)], [face(0)]] + [[]] * 78)) == 2
    assert usual_fewest([]) == 0


def test_faces_that_take_up_little_of_a_clip_come_last_and_the_others_stay_from_left_to_right():
    seldom = [[face(0)]] + [[]] * 9
    frames = [[*ghost, face(100, side=80), face(300, side=8), face(500, side=100)] for ghost in seldom]
    tracks = main_faces_first(track_faces(frames))
    assert [lefts(track)[0] for track in tracks] == [100, 500, 0, 300]
    assert main_faces_first([]) == []


def test_frames_without_faces_give_no_track():
    assert track_faces([[], [], []]) == []


def test_a_gap_is_bridged_in_a_straight_line_if_it_is_short_enough():
    track = [None, face(6), None, None, face(30), None, None, None, face(30), None]
    assert lefts(fill_gaps(track, 2)) == [None, 6, 14, 22, 30, None, None, None, 30, None]
    assert lefts(fill_gaps(track, 0)) == lefts(track)


def test_landmarks_move_with_the_bridge():
    points = np.array([[1, 2], [3, 4]], np.float32)
    bridged = fill_gaps([face(0, landmarks=points), None, None, face(9, landmarks=points + 6)], 2)[2]
    assert np.allclose(bridged.landmarks, points + 4)
    assert np.allclose(bridged.box, [6, 50, 26, 70])


@pytest.mark.parametrize("window", [1, 3, 5, 6, 99])
def test_smoothing_leaves_steady_motion_as_it_is_up_to_both_ends(window):
    track = [face(10 + 3 * i, y=100 - 2 * i) for i in range(12)]
    for before, after in zip(track, smooth(track, window), strict=True):
        assert np.allclose(before.box, after.box, atol=1e-3)


def test_smoothing_averages_over_its_window():
    track = [face(x) for x in (0, 0, 0, 9, 0, 0, 0)]
    assert lefts(smooth(track, 3))[1:-1] == [0, 3, 3, 3, 0]
    assert lefts(smooth(track, 1)) == lefts(track)


def test_smoothing_does_not_reach_across_a_gap():
    track = [face(0)] * 5 + [None] + [face(15)] * 5
    assert lefts(smooth(track, 5)) == lefts(track)


def test_a_single_sighting_stays_where_it_is():
    assert lefts(smooth([None, face(7), None], 9)) == [None, 7, None]


@pytest.mark.parametrize("frames", [1, 2])
def test_a_jump_of_a_frame_or_two_is_put_back_and_a_move_that_lasts_stays(frames):
    track = [face(x) for x in (10, 10, 10, *[40] * frames, 10, 10, 10, 40, 40, 40)]
    assert lefts(without_jumps(track)) == [10] * (6 + frames) + [40] * 3


def test_without_jumps_steady_and_nodding_faces_stay_as_they_are_and_gaps_stay_gaps():
    track = [face(10 + 3 * i, y=100 - 2 * i) for i in range(6)] + [None] + [face(50, y=50 + i % 2) for i in range(7)]
    assert without_jumps(track) == track
