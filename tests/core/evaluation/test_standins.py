"""Every stand-in falls, step by step, as what it measures is spoiled step by step."""

from itertools import pairwise

import cv2
import numpy as np
import pytest
import torch

from toon.clips import Line, make_clip, recite
from uniavgen_core.evaluation.picture_standins import (
    features,
    flow_strengths,
    image_quality,
    is_dynamic,
    movement,
    noise_level,
    subject_consistency,
)
from uniavgen_core.evaluation.sound_standins import emotion_agreement, sound_quality, timbre_consistency, vocal_arousal
from uniavgen_core.evaluation.sync_meter import measure_sync

RATE, FPS, FRAMES = 24_000, 16, 49
SEEDS = range(10_900_000, 10_900_006)


@pytest.fixture(scope="module")
def clips():
    return [make_clip(seed, FRAMES, split="held_out") for seed in SEEDS]


@pytest.fixture(scope="module")
def sounds(clips):
    return [torch.from_numpy(clip.waveform) for clip in clips]


def falls(values, by=0.0):
    """True if each value is below the one before, by at least so much."""
    return all(after < before - by for before, after in pairwise(values))


def sentence(voice, seed=0, words="hello red moon tiger"):
    return torch.from_numpy(recite([Line(words)], voice, 0, 40, seed).waveform)


def mixed(sounds, other, share):
    """Every sound with a share of another one in its place, equally loud in all."""
    return [(1 - share) * sound + share * another for sound, another in zip(sounds, other, strict=True)]


def test_the_lag_grows_as_the_sound_is_shifted_and_the_fit_at_lag_0_is_lost(clips, sounds):
    """Syllables come every quarter of a second, so past half of one the fit at lag 0 need not fall further."""
    scores, lags = [], []
    for shift in (0, 1, 2, 4, 8):
        samples = shift * RATE // FPS
        readings = [
            measure_sync(clip.frames, FPS, torch.nn.functional.pad(sound, (samples, 0))[: len(sound)], RATE)
            for clip, sound in zip(clips, sounds, strict=True)
        ]
        scores.append(np.mean([reading.score for reading in readings]))
        lags.append(np.median([reading.lag_ms for reading in readings]))
    assert falls(scores[:3], 0.1)
    assert max(scores[2:]) < scores[0] - 0.25
    assert lags == pytest.approx([0, 62.5, 125, 250, 500], abs=40)


def test_sync_falls_as_another_clips_sound_takes_the_place(clips, sounds):
    other = [*sounds[1:], sounds[0]]
    scores = []
    for share in (0, 0.5, 1):
        mixture = mixed(sounds, other, share)
        readings = [measure_sync(clip.frames, FPS, sound, RATE) for clip, sound in zip(clips, mixture, strict=True)]
        scores.append(np.mean([reading.score for reading in readings]))
    assert falls(scores)


def test_timbre_falls_as_more_of_the_second_half_is_another_voice():
    scores = []
    for share in (0, 0.5, 1):
        values = []
        for voice in range(8):
            own, again, other = sentence(voice), sentence(voice, 1), sentence((voice + 4) % 8)
            cut = int((1 - share) * len(own))
            values.append(timbre_consistency(torch.cat([own, again[:cut], other[cut:]]), RATE))
        scores.append(np.mean(values))
    assert falls(scores, 0.01)


def test_a_reference_in_the_same_voice_is_nearer_than_any_other_whatever_is_said():
    first = [sentence(voice) for voice in range(8)]
    second = [sentence(voice, 1, "nine happy dog robot") for voice in range(8)]
    table = np.array([[timbre_consistency(one, RATE, (two, RATE)) for two in second] for one in first])
    assert (table.argmax(1) == np.arange(8)).mean() >= 0.75
    assert np.diag(table).mean() > table[~np.eye(8, dtype=bool)].mean() + 0.1


def test_timbre_falls_as_noise_covers_the_reference():
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(len(sentence(0)), generator=generator)
    scores = [
        np.mean([timbre_consistency(sentence(v), RATE, (sentence(v, 1) + s * noise, RATE)) for v in range(8)])
        for s in (0, 0.02, 0.1, 0.4)
    ]
    assert falls(scores)


def test_sound_quality_falls_with_every_bit_of_noise(sounds):
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(len(sounds[0]), generator=generator)
    scores = [np.mean([sound_quality(x + s * noise, RATE) for x in sounds]) for s in (0, 0.003, 0.01, 0.03, 0.1)]
    assert falls(scores, 1.0)


def agreement(frames, sound):
    return emotion_agreement(vocal_arousal(sound, RATE), movement(frames), FPS)


def test_emotion_agreement_falls_as_the_voice_is_another_clips(clips, sounds):
    other = [*sounds[1:], sounds[0]]
    turned = [torch.roll(x, len(x) // 2) for x in other]
    scores = [
        np.mean([agreement(clip.frames, x) for clip, x in zip(clips, mixed(sounds, turned, share), strict=True)])
        for share in (0, 0.5, 1)
    ]
    assert falls(scores, 0.05)


def test_emotion_agreement_is_nothing_in_a_frozen_picture(clips, sounds):
    frozen = np.repeat(clips[0].frames[:1], FRAMES, 0)
    assert agreement(frozen, sounds[0]) == 0
    assert agreement(clips[0].frames, sounds[0]) > 0.1


def with_stranger(frames, other, share):
    """Frames of which the last share shows somebody else."""
    cut = round((1 - share) * len(frames))
    return np.concatenate([frames[:cut], other[cut:]])


def test_subject_consistency_falls_as_more_frames_show_somebody_else(clips):
    others = [*clips[1:], clips[0]]
    scores = [
        np.mean([
            subject_consistency(features(with_stranger(clip.frames[::4], other.frames[::4], share)))
            for clip, other in zip(clips, others, strict=True)
        ])
        for share in (0, 0.25, 0.5, 0.75)
    ]  # fmt: skip
    assert falls(scores, 0.02)
    assert subject_consistency(features(np.repeat(clips[0].frames[:1], 5, 0))) == pytest.approx(1)


def test_a_reference_picture_of_the_same_toon_is_nearer_than_of_any_other(clips):
    vectors = [features(clip.frames[::8]) for clip in clips]
    table = np.array([[subject_consistency(v, other[0]) for other in vectors] for v in vectors])
    assert (table.argmax(1) == np.arange(len(clips))).all()


def test_flow_falls_as_a_clip_is_slowed_and_is_nothing_when_it_is_frozen(clips):
    scores = []
    for slowness in (1, 3, 9, FRAMES):
        slowed = [np.repeat(clip.frames, slowness, 0)[:FRAMES] for clip in clips[:3]]
        scores.append(np.mean([flow_strengths(frames, FPS).mean() for frames in slowed]))
    assert falls(scores)
    assert scores[-1] < 0.01


def test_a_picture_that_slides_faster_than_the_least_is_dynamic_and_a_slower_one_is_not():
    rng = np.random.default_rng(0)
    scene = cv2.GaussianBlur(rng.integers(0, 256, (128, 400, 3)).astype(np.uint8), (0, 0), 3)
    slides = {speed: np.stack([scene[:, i * speed : i * speed + 128] for i in range(17)]) for speed in (1, 3)}
    assert not is_dynamic(flow_strengths(slides[1], FPS))  # 2 pixels between pictures, of 3 that count
    assert is_dynamic(flow_strengths(slides[3], FPS))


def test_image_quality_falls_with_blur_and_with_noise(clips):
    def blur(frames, width):
        return np.stack([cv2.GaussianBlur(frame, (0, 0), width) if width else frame for frame in frames])

    blurred = [np.mean([image_quality(blur(c.frames[:4], s)) for c in clips]) for s in (0, 0.7, 1.5, 3)]
    rng = np.random.default_rng(0)
    noise = rng.normal(size=clips[0].frames[:4].shape)
    noisy = [
        np.mean([image_quality((c.frames[:4] + s * noise).clip(0, 255).astype(np.uint8)) for c in clips])
        for s in (0, 8, 16, 32)
    ]
    assert falls(blurred, 0.02)
    assert falls(noisy, 0.02)


def test_noise_is_measured_in_levels_and_drawn_edges_are_none():
    rng = np.random.default_rng(0)
    grey = make_clip(3, 17).frames[0].mean(-1)
    assert noise_level(grey.astype(np.uint8)) < 1
    assert noise_level(np.full((128, 128), 128) + rng.normal(0, 10, (128, 128))) == pytest.approx(10, rel=0.1)


@pytest.mark.parametrize("sound", [torch.zeros(RATE), torch.cat([sentence(0)[4000:6000], torch.zeros(RATE)])])
def test_too_little_speech_to_compare_is_said(sound):
    with pytest.raises(ValueError, match="loud enough"):
        timbre_consistency(sound[:2200], RATE)
