"""The tables of chance see what is missing: spread between takes, and the distance of a mean from the truth."""

import numpy as np
import pytest
import torch

from toon.clips import LIVELY, make_clip
from toon.evaluation.cases import cases_of
from toon.evaluation.chance_features import FEATURES, GROUPS, speech_features
from toon.evaluation.distribution import Takes, distances, features_of, frechet, mean_take, spread
from toon.evaluation.face_places import mouth_places
from toon.evaluation.gaze_judge import read_gaze
from toon.evaluation.judges import SHIPPED, read_judges
from toon.evaluation.played_sound import through_aac
from uniavgen_core.bundled.bundled_files import BUNDLED_VIDEO_CODEC, load_codec


@pytest.fixture(scope="module")
def judges():
    return read_judges(SHIPPED)


@pytest.fixture(scope="module")
def takes():
    return [Takes.of(case, 6) for case in cases_of("joint", 5, 10_000_000, LIVELY)]


def test_places_and_gaze_are_read_from_pictures_alone(judges):
    clips = [make_clip(5_500_000 + seed, 33, world=LIVELY) for seed in range(6)]
    off = [np.linalg.norm(mouth_places(judges.place, clip.frames) - clip.mouth_center, axis=1) for clip in clips]
    assert np.median(np.concatenate(off)) < 1.5
    read = np.concatenate([read_gaze(judges.gaze, c.frames, c.mouth_center, c.face_radius) for c in clips])
    lids, gaze = (np.concatenate([getattr(clip, name) for clip in clips]) for name in ("lids", "gaze"))
    assert np.corrcoef(read[:, 2], lids)[0, 1] > 0.8
    awake = lids == 0
    assert min(np.corrcoef(read[awake, axis], gaze[awake, axis])[0, 1] for axis in (0, 1)) > 0.5


def test_takes_of_a_case_share_its_conditions_and_nothing_else(takes):
    for one in takes:
        assert len({case.words.text for case in one.cases}) == len({case.caption for case in one.cases}) == 1
        assert all(np.array_equal(case.reference, one.case.reference) for case in one.cases)
        assert len({case.frames.tobytes() for case in one.cases}) == len(one.cases)


def test_the_mean_of_the_truth_lies_further_off_than_the_truth_drawn_again(judges, takes):
    codec = load_codec(BUNDLED_VIDEO_CODEC)
    truth = np.stack([features_of(one.truth[:3], one.case, judges) for one in takes])
    again = np.stack([features_of(one.truth[3:], one.case, judges) for one in takes])
    means = np.stack([features_of([mean_take(one, codec)], one.case, judges) for one in takes])
    far, near = (distances(x.reshape(-1, len(FEATURES)), truth.reshape(-1, len(FEATURES))) for x in (means, again))
    for group, factor in (("speech", 1.1), ("head", 1.5), ("eyes", 1.5)):
        assert far[group] > factor * near[group], group


def test_spread_is_that_of_the_truth_for_the_truth_half_for_half_of_it_and_nothing_for_one_clip():
    truth = np.random.default_rng(0).normal(size=(40, 6, len(FEATURES)))
    middle = truth.mean(1, keepdims=True)
    for share in (0.0, 0.5, 1.0):
        assert spread(middle + share * (truth - middle), truth) == pytest.approx(dict.fromkeys(GROUPS, share))


def test_the_distance_of_normal_distributions_is_the_analytic_one():
    rng = np.random.default_rng(1)
    first, second = rng.normal(0, 1, (20_000, 2)), rng.normal(2, 3, (20_000, 2))
    assert frechet(first, second) == pytest.approx(np.sqrt(2 * (2**2 + (3 - 1) ** 2)), rel=0.03)
    assert frechet(first, first) < 0.01


def test_onset_and_tempo_of_a_sentence_are_heard_through_the_file():
    tone = torch.sin(torch.arange(24_000) * 2 * torch.pi * 200 / 24_000)
    sound = torch.cat([torch.zeros(12_000), 0.3 * tone, torch.zeros(12_000)])
    heard = speech_features(through_aac(sound), 10)
    assert heard.onset == pytest.approx(0.5, abs=0.03)
    assert heard.tempo == pytest.approx(0.1, abs=0.01)
    assert heard.pitch == pytest.approx(12, abs=0.5)
    assert speech_features(torch.zeros(24_000), 10) == (0, 0, 0, 0, 0)
