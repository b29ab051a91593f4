"""Scores around each frame: each kind of damage is found where it is, and nothing is found where there is none."""

import numpy as np
import pytest
import torch

from toon.clips import make_clip
from uniavgen_core.evaluation.lip_sync import correlation
from uniavgen_core.evaluation.span_plot import RatedClip, Retake, draw_retakes
from uniavgen_core.evaluation.span_scores import SPAN_CRITERIA, SpanScores, score_spans, weak_spans
from uniavgen_core.evaluation.sync_windows import local_agreement, window_mean, windowed_sync

RATE, FPS, THRESHOLD = 24_000, 16, 0.2


@pytest.fixture(scope="module")
def clip():
    return make_clip(10_910_003, 81, split="held_out")


def scored(clip, frames=None, waveform=None, characters=0):
    waveform = torch.from_numpy(clip.waveform) if waveform is None else waveform
    return score_spans(clip.frames if frames is None else frames, FPS, (waveform, RATE), characters)


def spans_of(scores, name="lowest"):
    values = scores.lowest if name == "lowest" else scores.criteria[name]
    return weak_spans(SpanScores(FPS, {"sync": values}), THRESHOLD).pairs


def curves(length=400):
    random = np.random.default_rng(0)
    return window_mean(random.normal(size=length), 2), window_mean(random.normal(size=length), 2)


def test_in_a_very_wide_window_the_agreement_is_the_correlation():
    first, second = curves()
    mixed = first + 0.7 * second
    np.testing.assert_allclose(local_agreement(first, mixed, 1e5), correlation(first, mixed), atol=1e-3)


def test_curves_that_are_equal_but_for_scale_and_offset_agree_everywhere_and_opposite_ones_nowhere():
    first = curves()[0]
    np.testing.assert_allclose(local_agreement(first, 3 * first + 5, 4), 1, atol=1e-9)
    moving = window_mean((first - first.mean()) ** 2, 4) > first.var() / 2
    assert local_agreement(first, -first, 4)[moving].max() < 0


def test_two_that_rest_together_agree_although_noise_in_their_rest_does_not_correlate():
    first, second = curves()
    noise = 0.02 * np.random.default_rng(1).normal(size=(2, 200))
    rests = [np.concatenate([curve, np.full(200, curve.min())]) for curve in (first, first)]
    rests = [rest + np.concatenate([np.zeros(400), one]) for rest, one in zip(rests, noise, strict=True)]
    assert local_agreement(*rests, 4)[430:].min() > 0.95
    resting = np.concatenate([second, np.full(200, second.min())])
    moving = np.concatenate([second, curves(200)[0]])
    assert np.median(local_agreement(resting, moving, 4)[430:]) < 0.6


def test_a_window_mean_is_that_of_its_surroundings_also_at_the_ends():
    np.testing.assert_allclose(window_mean(np.full(20, 3.0), 5), 3)
    step = np.concatenate([np.zeros(100), np.ones(100)])
    mean = window_mean(step, 5)
    assert mean[:80].max() < 1e-3
    assert mean[120:].min() > 1 - 1e-3
    assert mean[99] + mean[100] == pytest.approx(1)


def test_a_true_toon_is_in_sync_throughout(clip):
    scores = scored(clip)
    assert set(scores.criteria) == set(SPAN_CRITERIA) - {"heard"}
    assert scores.lowest.shape == (81,)
    assert not weak_spans(scores, THRESHOLD)


def test_a_sound_that_is_late_for_a_while_is_found_where_it_is(clip):
    late = torch.from_numpy(clip.waveform).clone()
    late[12_000:48_000] = torch.from_numpy(clip.waveform).roll(RATE // 2)[12_000:48_000]
    scores = scored(clip, waveform=late)
    (pair,) = weak_spans(scores, THRESHOLD).pairs
    assert np.abs(np.array(pair) - (0.5, 2.0)).max() < 0.5
    assert scores.weakest(*pair) == "sync"
    assert scores.mean(*pair) < 0.5 < scores.mean(3, 5)


def test_nothing_is_in_sync_with_silence_or_with_a_still_picture(clip):
    sound = torch.from_numpy(clip.waveform)
    assert windowed_sync(clip.frames, FPS, 0 * sound, RATE).max() == 0
    assert windowed_sync(np.repeat(clip.frames[:1], 81, 0), FPS, sound, RATE).max() == 0


def test_frames_after_the_end_of_the_sound_are_not_judged(clip):
    scores = windowed_sync(clip.frames, FPS, torch.from_numpy(clip.waveform[: 3 * RATE]), RATE)
    assert scores.shape == (81,)
    assert (scores[48:] == 1).all()


@pytest.mark.parametrize("kind", ["clean", "sharp", "moves"])
def test_each_other_damage_is_found_by_its_own_criterion_where_it_is(clip, kind):
    frames, sound = clip.frames.copy(), torch.from_numpy(clip.waveform).clone()
    if kind == "clean":
        sound[24_000:36_000] = (100 * sound[24_000:36_000]).clamp(-1, 1)
    elif kind == "sharp":
        frames[16:24] = frames[16:24].mean((1, 2), keepdims=True).astype(np.uint8)
    else:
        frames[10:26] = frames[10]
    (pair,) = spans_of(scored(clip, frames, sound), kind)
    expected = {"clean": (1.0, 1.5), "sharp": (1.0, 1.5), "moves": (0.625, 1.625)}[kind]
    assert np.abs(np.array(pair) - expected).max() < 0.5
    assert not spans_of(scored(clip), kind)


def test_a_second_of_silence_is_a_fault_only_before_the_words_can_have_ended(clip):
    sound = torch.from_numpy(clip.waveform).clone()
    sound[: int(1.7 * RATE)] = 0
    assert not spans_of(scored(clip, waveform=sound, characters=20), "heard")
    ((start, stop),) = spans_of(scored(clip, waveform=sound, characters=60), "heard")
    assert start < 0.7
    assert stop == pytest.approx(1.7, abs=0.3)
    assert "heard" not in scored(clip, waveform=sound).criteria


def hand_made(values):
    return SpanScores(FPS, {"sync": np.array(values, float), "sharp": np.ones(len(values))})


def test_weak_spans_reach_to_the_half_and_a_tenth_of_a_second_further():
    values = np.ones(160)
    values[40:60] = 0.4
    values[48:50] = 0.1
    ((start, stop),) = weak_spans(hand_made(values), THRESHOLD).pairs
    assert (start, stop) == pytest.approx((40 / 16 - 0.1, 60 / 16 + 0.1))
    values[48:50] = 0.21
    assert not weak_spans(hand_made(values), THRESHOLD)


@pytest.mark.parametrize(
    ("frame", "expected"), [(0, (0, 0.5)), (80, (5.03125 - 0.25, 5.03125 + 0.25)), (159, (9.5, 10))]
)
def test_a_weak_span_lasts_half_a_second_within_the_clip(frame, expected):
    values = np.ones(160)
    values[frame] = 0
    (pair,) = weak_spans(hand_made(values), THRESHOLD).pairs
    assert pair == pytest.approx(expected)


def test_weak_spans_less_than_half_a_second_apart_are_one():
    for gap, count in ((10, 1), (14, 2)):
        values = np.ones(160)
        values[40:60] = values[60 + gap : 80 + gap] = 0
        assert len(weak_spans(hand_made(values), THRESHOLD).pairs) == count


def test_the_mean_of_a_span_is_that_of_the_frames_in_it():
    scores = hand_made([0.0] * 16 + [0.5] * 16 + [1.0] * 16)
    assert scores.mean(1.0, 2.0) == pytest.approx(0.5)
    assert scores.mean(0.5, 1.5) == pytest.approx(0.25)
    assert scores.weakest(0, 1) == "sync"


def test_the_plot_shows_the_weak_span_where_it_is_and_the_scores_before_and_after():
    frames = np.full((160, 32, 32, 3), 90, np.uint8)
    before, after = np.ones(160), np.ones(160)
    before[40:80], after[40:80] = 0.1, 0.6
    clips = [RatedClip(frames + shade, hand_made(values)) for shade, values in ((0, before), (60, after))]
    plot = draw_retakes(*clips, [Retake(2.5, 5.0, "sync", 0.1, 0.6, 7)], THRESHOLD).astype(int)
    marked = np.flatnonzero(plot[110, :, 0] - plot[110, :, 1] > 15)
    assert marked.min() == pytest.approx(24 + 912 * 2.5 / 10, abs=2)
    assert marked.max() == pytest.approx(24 + 912 * 5.0 / 10, abs=2)
    middle = plot[96:300, 24 + 912 * 3 // 8]
    rows = [np.flatnonzero((middle == colour).all(1)).mean() for colour in ((255, 158, 138), (126, 226, 168))]
    assert rows[0] == pytest.approx(200 * 0.9 + 8, abs=4)
    assert rows[1] == pytest.approx(200 * 0.4 + 8, abs=4)
    assert (plot[450, 70] == 90).all()
    assert (plot[450, 180] == 150).all()


def test_a_retake_is_told_in_words():
    assert Retake(1, 2, "sync", 0.1).in_words == "1.00 to 2.00 s (sync): score 0.10"
    assert "now 0.80 with seed 3" in Retake(1, 2, "sync", 0.1, 0.8, 3).in_words
    assert "kept" in Retake(1, 2, "sync", 0.1, 0.05).in_words
