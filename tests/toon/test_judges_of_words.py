"""The measures agree with cases whose answer is known, and with the toons themselves."""

import numpy as np
import pytest
import torch

from toon.clips import make_clip
from toon.evaluation.word_recognizer import recognise, train_recognizer
from uniavgen_core.evaluation.lip_sync import (
    best_lag,
    correlation,
    first_of,
    mouth_amplitude,
    mouth_opening,
    own_correlation,
    shuffled_correlation,
    sound_envelope,
)
from uniavgen_core.evaluation.word_errors import word_error_rate


@pytest.fixture(scope="module")
def clips():
    return [make_clip(seed, split="held_out") for seed in range(12)]


def test_the_measured_mouth_is_the_drawn_mouth(clips):
    fits = [
        correlation(mouth_opening(clip.frames, clip.mouth_center, clip.face_radius), clip.mouth_open) for clip in clips
    ]
    assert np.mean(fits) > 0.97
    assert min(fits) > 0.9


def test_a_frozen_mouth_measures_as_frozen(clips):
    for clip in clips[:4]:
        frozen, centers = np.repeat(clip.frames[:1], 33, 0), np.repeat(clip.mouth_center[:1], 33, 0)
        assert np.ptp(mouth_opening(frozen, centers, clip.face_radius)) == 0


def test_the_mouth_measure_does_not_depend_on_the_pictures_size():
    small, large = (make_clip(5, size=size) for size in (128, 256))
    openings = [mouth_opening(clip.frames, clip.mouth_center, clip.face_radius) for clip in (small, large)]
    assert np.abs(openings[0] - openings[1]).max() < 0.1 * openings[1].max()


def test_the_envelope_is_the_loudness_of_each_frames_own_time():
    mel = np.full((80, 206), -5.0)
    mel[:, 50:56] = 1.0  # frame 8 lasts from 50 to 56.25
    envelope = sound_envelope(mel, 33)
    assert envelope.argmax() == 8
    assert np.allclose(np.delete(envelope, [8]), -5)
    assert envelope[8] == pytest.approx((6 * 1.0 - 5.0) / 7)


def test_a_mouth_that_comes_late_has_a_positive_lag():
    sound = np.random.default_rng(0).normal(size=33)
    for lag in (-3, 0, 2):
        fit, found = best_lag(np.roll(sound, lag), sound)
        assert found == lag
        assert fit == pytest.approx(1)


def test_correlation_of_known_signals():
    time = np.linspace(0, 2 * np.pi, 100, endpoint=False)
    assert correlation(np.sin(time), 3 * np.sin(time) + 5) == pytest.approx(1)
    assert correlation(np.sin(time), np.cos(time)) == pytest.approx(0, abs=1e-9)
    assert correlation(np.sin(time), -np.sin(time)) == pytest.approx(-1)
    assert correlation(np.ones(5), np.arange(5)) == 0


def test_pairs_that_belong_together_rank_first_and_strangers_by_chance():
    rng = np.random.default_rng(1)
    sounds = rng.normal(size=(400, 33))
    assert first_of(sounds, sounds) == own_correlation(sounds, sounds) == pytest.approx(1)
    assert abs(shuffled_correlation(sounds, sounds)) < 0.02
    assert first_of(rng.normal(size=(400, 33)), sounds) == pytest.approx(1 / 8, abs=0.06)
    assert first_of(np.roll(sounds, -1, axis=0), sounds) < 0.05


def test_amplitude_is_the_spread_over_time():
    assert mouth_amplitude(np.array([[0.0, 2.0], [0.0, 4.0]])) == 1.5


@pytest.mark.parametrize(
    ("references", "heard", "rate"),
    [
        (["red moon", "one"], ["red moon", "one"], 0),
        (["red moon"], [""], 1),
        (["red moon"], ["red red moon"], 0.5),
        (["one two four five"], ["one four five nine"], 0.5),
        (["one"], ["two five nine"], 3),
        (["one two", "red"], ["two", "red"], 1 / 3),
    ],
)
def test_word_error_rate_of_known_cases(references, heard, rate):
    assert word_error_rate(references, heard) == pytest.approx(rate)


def beeps(transcript):
    """A log-mel in which each word is a beep of its own height."""
    mel = np.full((80, 64), -7.0, np.float32)
    for place, word in enumerate(transcript.split()):
        row = {"low": 5, "middle": 35, "high": 65}[word]
        mel[row : row + 10, 4 + 20 * place : 14 + 20 * place] = -1.0
    return mel


def test_the_recognizer_learns_a_tiny_language_and_is_the_same_for_the_same_seed():
    words = ("low", "middle", "high")
    transcripts = [" ".join(words[place] for place in places) for places in np.ndindex(3, 3, 3)]
    mels = torch.from_numpy(np.stack([beeps(transcript) for transcript in transcripts]))
    train, held_out = slice(0, None, 2), slice(1, None, 2)
    model = train_recognizer(mels[train], transcripts[train], steps=50, words=words)
    assert word_error_rate(transcripts[held_out], recognise(model, mels[held_out])) < 0.1
    first, second = (train_recognizer(mels, transcripts, 2, seed=3, words=words).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda _: first_of(np.zeros((5, 9)), np.zeros((5, 9))), "8 audio tracks"),
        (lambda clips: mouth_opening(clips[0].frames, clips[0].mouth_center[:3], 30), "33 frames"),
        (lambda _: sound_envelope(np.zeros((80, 100)), 33), "too few"),
        (lambda _: train_recognizer(torch.zeros(1, 80, 40), ["hello stranger"], 1), "stranger"),
        (lambda _: word_error_rate(["one"], []), "1 references"),
        (lambda _: word_error_rate([""], [""]), "no words"),
    ],
)
def test_what_cannot_be_measured_is_refused_by_name(clips, call, message):
    with pytest.raises(ValueError, match=message):
        call(clips)
