"""Toons with new words and lips: what a case holds, and that its measures tell old lips from new ones and a seam."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from toon.evaluation.generate_cases import Made, with_kept
from toon.evaluation.relip_cases import (
    RELIP_BLENDED,
    RELIP_CASES,
    RELIP_DRIVEN,
    region_edge,
    relip_cases,
    relip_measures,
)
from uniavgen_core.evaluation.lip_sync import correlation, mouth_opening
from uniavgen_core.media.audio.mel import log_mel

FIRST = 10_000_000


@pytest.fixture(scope="module")
def cases():
    return relip_cases("relip", 4, FIRST)


def measured(frames, case, sound=None):
    sound = case.waveform if sound is None else sound
    return relip_measures(frames, log_mel(sound).numpy(), case)


def test_every_toon_gets_other_words_in_its_own_voice_where_its_mouth_is(cases):
    for case, after in pairwise(cases):
        assert case.words.text != after.words.text
        assert np.array_equal(case.spoken, case.old_waveform.numpy())
        columns, rows = case.mouths[0][0].round().astype(int).T
        assert (case.region[np.arange(len(rows)), rows, columns] > 0.9).all()
        assert 0.02 < (case.region > 0).mean() < 0.25


def test_the_kinds_differ_in_how_the_picture_is_kept_and_whether_the_sound_is():
    assert [relip_cases(kind, 1, FIRST)[0].blended for kind in RELIP_CASES] == [False, True, False]
    (driven,) = relip_cases(RELIP_DRIVEN, 1, FIRST)
    assert driven.sound_kept.all()
    assert driven.spoken is None
    assert not torch.equal(driven.waveform, driven.old_waveform)
    assert not relip_cases(RELIP_BLENDED, 1, FIRST)[0].sound_kept.any()


def test_lips_that_still_say_the_old_words_are_told_from_those_that_do_not(cases):
    old = np.mean([measured(case.frames, case, cases[n - 1].waveform)["old_corr"] for n, case in enumerate(cases)])
    still = [np.repeat(case.frames[:1], len(case.frames), 0) for case in cases]
    kept = [measured(frames, case)["old_corr"] for frames, case in zip(still, cases, strict=True)]
    assert old > 0.4
    assert max(map(abs, kept)) < 0.2


def test_a_curve_that_only_follows_the_new_sound_owes_nothing_to_the_old_one(cases):
    case = cases[0]
    opening = mouth_opening(case.frames, *case.mouths[0])
    assert correlation(opening, opening) == pytest.approx(1)
    assert abs(measured(case.frames, case)["old_corr"]) < 0.05


def test_the_users_pixels_around_the_region_are_put_back_and_changed_ones_are_counted(cases):
    case = cases[0]
    noise = np.random.default_rng(0).integers(0, 256, case.frames.shape, np.uint8)
    made = with_kept(Made.of(noise, case.waveform), case)
    outside = case.region == 0
    assert np.array_equal(made.frames[outside], case.frames[outside])
    assert (made.frames[case.region > 0.9] != case.frames[case.region > 0.9]).mean() > 0.5
    assert measured(made.frames, case)["outside"] == 0
    assert measured(255 - case.frames, case)["outside"] > 0.9


def test_a_seam_is_seen_and_a_picture_without_one_is_as_sharp_as_the_truth(cases):
    case = cases[0]
    assert measured(case.frames, case)["seam"] == pytest.approx(1)
    seamed = np.where((case.region > 0)[..., None], 255 - case.frames, case.frames)
    assert measured(seamed, case)["seam"] > 2


def test_the_edge_lies_on_both_sides_of_the_outline_two_pixels_wide():
    region = np.zeros((1, 20, 20), np.float32)
    region[0, 5:15, 5:15] = 0.5
    edge = region_edge(region)
    assert edge[0, 10].nonzero()[0].tolist() == [3, 4, 5, 6, 13, 14, 15, 16]
