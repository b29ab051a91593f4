"""Every measure of damage grows, or falls, step by step with its own kind of damage, and is at rest without it."""

from itertools import pairwise

import cv2
import numpy as np
import pytest
import torch

from toon.clips import Line, make_clip, recite
from uniavgen_core.evaluation.picture_damage import face_crops, flicker, identity, sharpness
from uniavgen_core.evaluation.sound_damage import clipped_share, speech_timing
from uniavgen_core.evaluation.sound_standins import sound_quality, timbre_consistency
from uniavgen_core.evaluation.sync_meter import measure_sync
from uniavgen_core.media.audio.voice_activity import voice_activity
from uniavgen_core.media.faces.face_detection import FaceDetector
from uniavgen_core.media.faces.face_tracks import Face

RATE, FPS = 24_000, 16


@pytest.fixture(scope="module")
def clips():
    return [make_clip(seed, 33, 128) for seed in range(4)]


@pytest.fixture(scope="module")
def detector():
    return FaceDetector()


def rises(values, by=0.0):
    return all(after > before + by for before, after in pairwise(values))


def driven(waveform, gain):
    """Sound at full scale that was recorded too loud by a factor."""
    return torch.clamp(gain * waveform / waveform.abs().max(), -1, 1)


def test_identity_falls_as_more_frames_show_somebody_else(clips, detector):
    values = []
    for count in (0, 8, 16):
        pictures = [np.concatenate([a.frames[: 33 - count], b.frames[33 - count :]]) for a, b in pairwise(clips)]
        values.append(np.mean([identity(frames, detector) for frames in pictures]))
    assert rises(values[::-1], 0.05)
    still = identity(np.repeat(clips[0].frames[:1], 5, 0), detector)
    assert still == pytest.approx(1, abs=1e-3)  # smoothing rounds the places of faces, by platform


def test_identity_against_a_reference_is_highest_for_the_person_shown(clips, detector):
    table = [[identity(one.frames, detector, other.frames[0]) for other in clips] for one in clips]
    assert (np.argmax(table, 1) == np.arange(4)).all()


def test_faces_that_a_detector_follows_are_cropped_from_where_they_are():
    class Follower:
        def find(self, picture):
            left = int(np.flatnonzero(picture.max((0, 2)))[0])
            return [Face(np.float32([left, 20, left + 40, 60]))]

    frames = np.zeros((6, 100, 200, 3), np.uint8)
    for number, frame in enumerate(frames):
        frame[20:60, 10 * number : 10 * number + 40] = 255
    crops = face_crops(frames, Follower())
    assert crops.shape == (6, 128, 128, 3)
    assert np.abs(crops[3].astype(int) - crops[1]).mean() < 12
    assert crops[3, 50:78, 50:78].min() == 255


def test_sharpness_falls_with_blur_and_rises_with_noise(clips):
    noise = np.random.default_rng(0).normal(0, 1, clips[0].frames.shape)

    def blurred(frames, sigma):
        return np.stack([frames[0], *(cv2.GaussianBlur(frame, (0, 0), sigma) for frame in frames[1:])])

    values = [-np.mean([sharpness(blurred(clip.frames, sigma)) for clip in clips]) for sigma in (0.3, 0.6, 1.0, 2.0)]
    assert rises(values, 0.05)
    assert sharpness(clips[0].frames) == pytest.approx(1, abs=0.3)
    assert sharpness(clips[0].frames, clips[0].frames) == pytest.approx(1)
    noisy = np.clip(clips[0].frames + 12 * noise, 0, 255).astype(np.uint8)
    assert sharpness(noisy, clips[0].frames) > 1.2


def test_flicker_grows_with_the_trembling_of_light_and_not_with_movement(clips):
    light = np.random.default_rng(0).choice([-1, 1], (33, 1, 1, 1))

    def trembling(frames, levels):
        return np.clip(frames * 0.8 + 20 + levels * light, 0, 255).round().astype(np.uint8)

    values = [np.mean([flicker(trembling(clip.frames, levels)) for clip in clips]) for levels in (0, 1, 3, 9)]
    assert rises(values, 0.5)
    assert values[0] < 0.6
    slow = np.arange(33)[:, None, None, None]
    assert flicker(np.clip(clips[0].frames * 0.5 + slow, 0, 255).round().astype(np.uint8)) < 1.1


def test_the_clipped_share_grows_with_the_gain_whatever_the_level_of_the_file(clips):
    for level in (1.0, 0.3):
        values = [clipped_share(level * driven(torch.from_numpy(clips[0].waveform), gain)) for gain in (1, 2, 4, 8)]
        assert values[0] < 1e-3
        assert rises(values, 1e-3)
    assert clipped_share(torch.zeros(100)) == 0
    assert clipped_share(0.5 * torch.sin(torch.arange(4000) * 0.5)) < 1e-3


def test_sound_quality_falls_as_more_is_clipped_however_quiet_the_pauses_are(clips):
    for clip in clips:
        waveform = torch.from_numpy(clip.waveform)
        silent_pauses = torch.where(waveform.abs() > 0.004, waveform, 0)
        for sound in (waveform, silent_pauses):
            assert rises([-sound_quality(driven(sound, gain), RATE) for gain in (1, 2, 4, 8)], 0.5)


def test_no_stand_in_prefers_the_clipped_sound():
    def voice(number):
        return torch.from_numpy(recite([Line("hello red moon tiger")], number, 0, 40).waveform)

    likeness = [
        np.mean([timbre_consistency(driven(voice(v), gain), RATE, (voice(v), RATE)) for v in range(8)])
        for gain in (1, 3, 9)
    ]
    assert rises([-value for value in likeness])
    toons = [make_clip(10_900_000 + seed, (33, 49, 65)[seed % 3], split="held_out") for seed in range(24)]
    clean, clipped = (
        np.mean([
            measure_sync(clip.frames, FPS, driven(torch.from_numpy(clip.waveform), gain), RATE, clip.face_mask).score
            for clip in toons
        ])
        for gain in (1, 40)
    )  # fmt: skip
    assert clean > 0.9
    assert clipped < clean - 0.02


def test_speech_is_heard_where_it_is_and_clicks_are_not():
    speech = recite([Line("red moon", 0.5)], 1, 0, 33)
    waveform = torch.from_numpy(speech.waveform)
    waveform[int(1.9 * RATE) : int(1.9 * RATE) + 200] = 0.9
    loud = np.flatnonzero(voice_activity(waveform, RATE)) / 100
    assert loud[0] == pytest.approx(0.62, abs=0.08)
    assert loud[-1] == pytest.approx(speech.end, abs=0.12)
    assert not voice_activity(torch.zeros(RATE), RATE).any()


def test_babble_counts_the_seconds_after_the_transcript_and_silence_the_words_that_are_missing():
    word = recite([Line("yes")], 1, 0, 65)
    babbling = recite([Line("yes"), Line("happy water robot", 2.2)], 1, 0, 65)
    quiet, loud = (speech_timing(torch.from_numpy(x.waveform), RATE, 3, word.end + 0.1) for x in (word, babbling))
    assert quiet.babble < 0.05
    assert loud.babble == pytest.approx(babbling.end - 2.32, abs=0.35)
    assert quiet.silence == pytest.approx(loud.silence, abs=0.1)
    lost = torch.from_numpy(np.where(np.arange(len(word.waveform)) < 0.3 * RATE, word.waveform, 0))
    assert speech_timing(lost, RATE, 3, word.end + 0.1).silence > quiet.silence + 0.1
    assert speech_timing(torch.from_numpy(babbling.waveform), RATE, 3).babble > 0.8
