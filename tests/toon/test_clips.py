"""Talking toons are the same for the same seed, and their picture, sound, masks and texts belong together."""

import time
from dataclasses import replace

import cv2
import numpy as np
import pytest

from toon.clips import (
    TEXT_POSITION_OFFSET,
    TEXT_POSITION_SCALE,
    VOICES,
    WORDS,
    Emotion,
    film,
    make_clip,
    make_speech,
    speak,
    split_of,
)
from toon.clips.appearance import draw_appearance
from toon.clips.articulation import loudness, mouth_shape
from toon.clips.canvas import Canvas
from toon.clips.drawn_face import Pose, draw_background, draw_eyes, mask_eyes
from toon.clips.espeak import say


@pytest.fixture(scope="module")
def clips():
    return [make_clip(seed) for seed in range(16)]


@pytest.fixture(scope="module")
def speeches():
    return [make_speech(seed) for seed in range(100, 150)]


def test_a_clip_follows_from_its_seed_whatever_was_made_before(clips):
    again = make_clip(3)
    for name in ("frames", "waveform", "face_mask", "mouth_mask", "eye_mask", "mouth_center", "mouth_open"):
        assert np.array_equal(getattr(again, name), getattr(clips[3], name)), name
    assert (again.transcript, again.caption, again.voice) == (clips[3].transcript, clips[3].caption, clips[3].voice)


def test_a_clip_sounds_the_same_a_second_later(clips):
    time.sleep(1.1)  # espeak-ng seeds its noise by the clock unless told otherwise
    assert np.array_equal(make_speech(3).waveform, clips[3].waveform)


def test_different_seeds_look_and_sound_different(clips):
    assert len({clip.frames.tobytes() for clip in clips}) == len({clip.waveform.tobytes() for clip in clips}) == 16
    assert len({clip.voice for clip in clips}) > 4
    assert {clip.emotion for clip in clips} == set(Emotion)


def test_speech_alone_is_the_clips_own_sound(clips):
    for clip in clips[:4]:
        speech = make_speech(clip.seed)
        assert np.array_equal(speech.waveform, clip.waveform)
        assert np.array_equal(speech.mouth_open, clip.mouth_open)
        assert speech.transcript == clip.transcript


@pytest.mark.parametrize(("video_frames", "samples"), [(33, 49500), (81, 121500)])
def test_sound_lasts_as_long_as_the_picture_and_peaks_where_the_release_does(video_frames, samples):
    clip = make_clip(1, video_frames, size=32)
    assert clip.frames.shape == (video_frames, 32, 32, 3)
    assert clip.waveform.shape == (samples,)
    assert np.abs(clip.waveform).max() == pytest.approx(0.999146, abs=1e-6)


def test_longer_clips_hold_more_words(speeches):
    longer = [make_speech(seed, 81) for seed in range(10)]
    assert all(2 <= len(speech.transcript.split()) <= 4 for speech in speeches)
    assert all(len(speech.transcript.split()) >= 5 for speech in longer)


def test_speech_begins_and_ends_inside_the_clip(speeches):
    for speech in speeches:
        loud = np.flatnonzero(np.abs(speech.waveform) > 0.02) / 24_000
        assert loud[0] > 0.1
        assert loud[-1] < 33 / 16 - 0.15


def test_silence_has_a_noise_floor_sixty_decibels_down(speeches):
    floor = np.concatenate([speech.waveform[:2400] for speech in speeches])
    assert -62 < 20 * np.log10(floor.std()) < -58


def test_the_splits_share_no_sentence_and_a_tenth_is_held_out():
    pairs = [f"{first} {second}" for first in WORDS for second in WORDS]
    share = np.mean([split_of(pair) == "held_out" for pair in pairs])
    assert 0.06 < share < 0.14
    for split in ("train", "held_out"):
        assert {split_of(make_speech(seed, split=split).transcript) for seed in range(10)} == {split}


def test_a_letter_sounds_where_the_text_position_says(speeches):
    places = np.concatenate([np.arange(len(speech.transcript)) for speech in speeches])
    frames = np.concatenate([100 * speech.letter_seconds for speech in speeches])
    missed = frames - (TEXT_POSITION_OFFSET + TEXT_POSITION_SCALE * places)
    assert np.sqrt(np.mean(missed**2)) < 6.5
    scale, offset = np.polyfit(places, frames, 1)
    assert scale == pytest.approx(TEXT_POSITION_SCALE, abs=0.3)
    assert offset == pytest.approx(TEXT_POSITION_OFFSET, abs=2)


def test_voices_and_emotions_speak_at_one_speed():
    lengths = [speak("hello red moon", voice, emotion).letter_seconds[-1] for voice in range(8) for emotion in range(3)]
    assert np.ptp(lengths) < 0.06


def test_every_voice_and_emotion_sounds_its_own_way():
    sounds = {speak("hello moon", voice, emotion).waveform.tobytes() for voice in range(8) for emotion in range(3)}
    assert len(sounds) == 3 * len(VOICES)


def test_the_mouth_follows_the_sound(speeches):
    middles = (np.arange(33) + 0.5) / 16
    fits = [
        np.corrcoef(speech.mouth_open, np.log(loudness(speech.waveform, middles) + 0.003))[0, 1] for speech in speeches
    ]
    assert np.mean(fits) > 0.8
    assert min(fits) > 0.7


def test_the_mouth_rests_before_and_after_speech(speeches):
    for speech in speeches:
        assert speech.mouth_open[0] < 0.01
        assert speech.mouth_open[-2:].max() < 0.01
        assert 0.3 < speech.mouth_open.max() <= 1


def test_vowels_open_the_mouth_and_lips_close_it():
    assert mouth_shape("'a")[0] > mouth_shape("i:")[0] > mouth_shape("s")[0] > mouth_shape("m")[0] == 0
    assert mouth_shape("u:")[1] < mouth_shape("i:")[1]
    assert mouth_shape("_:")[0] == mouth_shape("")[0] == 0


def test_the_face_holds_the_mouth_and_the_mouth_its_middle(clips):
    for clip in clips:
        face, mouth = clip.face_mask > 127, clip.mouth_mask > 127
        assert not (mouth & ~face).any()
        columns, rows = np.rint(clip.mouth_center).astype(int).T
        wide = clip.mouth_open > 0.3
        assert mouth[np.arange(33), rows, columns][wide].all()
        width = face.any(1).sum(1)
        assert np.abs(width / 2 - clip.face_radius).max() < 1


def test_the_mouth_mask_grows_with_the_opening(clips):
    for clip in clips:
        assert np.corrcoef(clip.mouth_mask.sum((1, 2)), clip.mouth_open)[0, 1] > 0.95


def test_only_the_mouth_mask_changes_when_only_the_mouth_moves():
    quiet, loud = speak("moon", 5, 1), speak("hello robot", 5, 1)
    first, second = film(quiet, seed=8), film(loud, seed=8)
    changed = (first.frames != second.frames).any(-1)
    mouth = np.maximum(first.mouth_mask, second.mouth_mask) > 0
    rows = np.pad(mouth, ((0, 0), (1, 1), (1, 1)))
    near = np.any([np.roll(rows, shift, (1, 2)) for shift in np.ndindex(3, 3)], axis=0)[:, 2:, 2:]
    assert changed.any()
    assert not (changed & ~near).any()


def test_only_the_eye_mask_changes_when_only_lids_and_gaze_move():
    toon = replace(draw_appearance(np.random.default_rng(0), 0), lashes=False)
    expression, still = speak("moon", 5, 1).expression, np.array([0.5, 0.4])
    poses = [
        Pose(still, np.zeros(2), lids, np.array([gaze, 0.0]), 0.0) for lids, gaze in ((0, 0), (0, 1), (0.6, 0), (1, 0))
    ]
    pictures, masks = [], []
    for pose in poses:
        canvas, mask = draw_background(128, toon), Canvas.blank(128)
        draw_eyes(canvas, toon, pose, expression)
        mask_eyes(mask, toon, pose)
        pictures.append(canvas.picture())
        masks.append(mask.picture())
    assert all(np.array_equal(mask, masks[0]) for mask in masks)
    for picture in pictures[1:]:
        changed = (picture != pictures[0]).any(-1)
        assert changed.any()
        assert not (changed & (cv2.dilate(masks[0], np.ones((3, 3))) == 0)).any()


def test_the_eye_mask_lies_in_the_face_and_off_the_mouth(clips):
    for clip in clips:
        eyes = clip.eye_mask > 127
        assert eyes.any((1, 2)).all()
        assert not (eyes & ((clip.face_mask < 128) | (clip.mouth_mask > 127))).any()


def test_captions_tell_emotion_and_movement(clips):
    for clip in clips:
        assert Emotion(clip.emotion).name.lower() in clip.caption
        travel = np.ptp(clip.mouth_center - clip.mouth_center[:1], axis=0) / clip.face_radius
        sideways = any(word in clip.caption for word in ("shakes", "left", "right"))
        assert (travel[0] > 0.2) == sideways
        if "left" in clip.caption:
            assert clip.mouth_center[-1, 0] < clip.mouth_center[0, 0]
        if "nods" in clip.caption:
            assert travel[1] > 0.15


def test_sizes_show_the_same_scene():
    small, large = make_clip(2, size=64), make_clip(2, size=128)
    halved = large.frames.reshape(33, 64, 2, 64, 2, 3).mean((2, 4))
    assert np.abs(halved - small.frames).mean() < 3
    assert large.face_radius == 2 * small.face_radius


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: make_clip(0, size=100), "multiple of 32"),
        (lambda: make_clip(0, split="test"), "held_out"),
        (lambda: make_speech(0, video_frames=5), "video_frames is 5"),
        (lambda: speak("hello", voice=8, emotion=0), "voice is 8"),
        (lambda: speak("hello " * 9, voice=0, emotion=0), "takes"),
        (lambda: say("hello", "xx-nowhere", 180, 50, 50), "no voice"),
    ],
)
def test_what_cannot_be_made_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()
