"""The judges of eyes and mouths tell whole from broken, in any pose."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from toon.clips import LIVELY, STEADY, make_clip
from toon.evaluation.broken_parts import DAMAGES, are_broken, damaged, draw_parts, part_crops, train_part_judge


def drawn(first, count, split="train"):
    return [make_clip(first + i, 17, 128, split, LIVELY if i % 2 else STEADY) for i in range(count)]


@pytest.fixture(scope="module")
def clips():
    return drawn(5_000_000, 60)


@pytest.fixture(scope="module")
def others():
    return drawn(5_500_000, 10, "held_out")


@pytest.fixture(scope="module")
def judge(clips):
    return train_part_judge(*draw_parts(clips, "eyes"), steps=250)


def share(judge, frames, clip):
    return float(are_broken(judge, part_crops(frames, clip.mouth_center, clip.face_radius, "eyes")).float().mean())


def test_true_eyes_are_whole_whether_open_looking_aside_or_shut(judge, others):
    assert np.mean([share(judge, clip.frames, clip) for clip in others]) < 0.04
    shut = [clip for clip in others if (clip.lids > 0.9).any()]
    assert shut
    assert np.mean([share(judge, clip.frames[clip.lids > 0.9], clip_at(clip, clip.lids > 0.9)) for clip in shut]) < 0.2


def clip_at(clip, chosen):
    return replace(clip, mouth_center=clip.mouth_center[chosen])


def test_the_more_eyes_are_doubled_the_more_frames_are_broken(judge, others):
    values = []
    for pixels in (0, 3, 6):
        doubled = [
            np.stack([cv2.addWeighted(frame, 0.5, np.roll(frame, pixels, 1), 0.5, 0) for frame in clip.frames])
            for clip in others
        ]
        values.append(np.mean([share(judge, *pair) for pair in zip(doubled, others, strict=True)]))
    assert values[0] < 0.05
    assert values[0] + 0.3 < values[1] <= values[2]
    assert values[2] > 0.9


def test_smeared_eyes_are_broken_and_slightly_soft_ones_are_not(judge, others):
    def blurred(sigma):
        return [np.stack([cv2.GaussianBlur(frame, (0, 0), sigma) for frame in clip.frames]) for clip in others]

    soft, smeared = (
        np.mean([share(judge, *pair) for pair in zip(blurred(sigma), others, strict=True)]) for sigma in (0.5, 4.0)
    )
    assert soft < 0.12
    assert smeared > 0.8


def test_damage_of_the_mouth_leaves_the_eyes_whole(judge, others):
    spoiled = []
    for clip in others:
        frames = clip.frames.copy()
        for frame, (x, y) in zip(frames, clip.mouth_center.astype(int), strict=True):
            frame[y - 4 : y + 14, x - 14 : x + 14] = 128
        spoiled.append(share(judge, frames, clip))
    assert np.mean(spoiled) < 0.06


def test_every_damage_changes_a_picture_and_follows_from_its_seed(clips):
    frames = clips[0].frames
    for damage in DAMAGES:
        changed = [damage(frames[3], frames[9], np.random.default_rng(1)) for _ in range(2)]
        assert changed[0].dtype == np.uint8
        assert np.array_equal(*changed)
        assert np.abs(changed[0].astype(int) - frames[3]).max() > 8
    assert np.array_equal(*(damaged(frames, np.random.default_rng(2)) for _ in range(2)))


def test_crops_are_learned_as_broken_only_where_the_damage_is_large(clips):
    crops, broken = draw_parts(clips[:6], "mouth")
    assert crops.shape[1:] == (3, 32, 48)
    assert 0.05 < broken.float().mean() < 0.8
    assert len(crops) < 6 * 17 * 3


def test_a_crop_shows_its_part_at_any_size_of_the_picture(clips):
    clip = clips[0]
    small = np.stack([cv2.resize(frame, (64, 64), interpolation=cv2.INTER_AREA) for frame in clip.frames])
    full, half = (
        part_crops(frames, clip.mouth_center * scale, clip.face_radius * scale, "mouth")
        for frames, scale in ((clip.frames, 1.0), (small, 0.5))
    )
    assert (full - half).abs().mean() < 0.04
    elsewhere = part_crops(clip.frames, clip.mouth_center, clip.face_radius, "eyes")
    assert (full - elsewhere).abs().mean() > 0.1
