"""In the lively world the seed decides what no condition tells, and what conditions do tell stays fixed."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from toon.clips import LIVELY, STEADY, Emotion, film, make_clip, make_pair, make_scene, make_speech, recite
from toon.clips.delivery import LATEST_ONSET, PLAIN, Delivery, draw_delivery
from toon.clips.motion import MOVEMENTS, draw_motion
from toon.clips.sentence import draw_sentence, split_of
from toon.clips.speech import LEAD_SECONDS, Line, draw_line
from uniavgen_core.evaluation.lip_sync import correlation, mouth_opening, sound_envelope
from uniavgen_core.media.audio.mel import log_mel

LENGTHS = (17, 25, 33, 49, 65)


def first_loud(waveform):
    return np.flatnonzero(np.abs(waveform) > 0.02)[0] / 24_000


def deliveries(count=60):
    return [draw_delivery(np.random.default_rng(seed), LIVELY) for seed in range(count)]


@pytest.fixture(scope="module")
def speeches():
    return [make_speech(seed, LENGTHS[seed % 5], world=LIVELY) for seed in range(60)]


@pytest.fixture(scope="module")
def clips():
    return [make_clip(seed, 33, 64, world=LIVELY) for seed in range(12)]


def test_the_vocabulary_has_digits_days_colours_and_twenty_phrases():
    said = {*LIVELY.words, *" ".join(LIVELY.phrases).split()}
    assert len(said) >= 100
    assert len(LIVELY.phrases) >= 20
    assert said >= {"zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"}
    assert said >= {f"{day}day" for day in ("mon", "tues", "wednes", "thurs", "fri", "satur", "sun")}
    assert said >= {"red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white"}
    assert said >= set(STEADY.words)


def test_a_lively_clip_follows_from_its_seed(clips):
    again = make_clip(3, 33, 64, world=LIVELY)
    assert np.array_equal(again.frames, clips[3].frames)
    assert np.array_equal(again.waveform, clips[3].waveform)
    assert np.array_equal(again.waveform, make_speech(3, 33, world=LIVELY).waveform)


def test_sentences_of_all_lengths_end_inside_their_clips(speeches):
    for seed, speech in enumerate(speeches):
        assert speech.end < LENGTHS[seed % 5] / 16
        assert first_loud(speech.waveform) > LEAD_SECONDS - 0.03


def test_sentences_are_of_words_and_whole_phrases_of_their_split():
    held_out = {draw_sentence(np.random.default_rng(seed), 65, "held_out", LIVELY) for seed in range(40)}
    assert all(split_of(sentence) == "held_out" for sentence in held_out)
    for sentence in held_out:
        left = sentence
        for phrase in sorted(LIVELY.phrases, key=len, reverse=True):
            left = left.replace(phrase, "")
        assert set(left.split()) <= set(LIVELY.words)
    assert any(phrase in sentence for sentence in held_out for phrase in LIVELY.phrases)


def test_a_sentence_fits_the_room_left_by_a_start_within_a_frame_whichever_voice_says_it():
    start, frames = 4.99 / 16, 17
    for seed in range(150):
        rng = np.random.default_rng(seed)
        delivery = draw_delivery(rng, LIVELY)
        line = draw_line(rng, start, frames - 4, "train", delivery, LIVELY)
        recite([line], 4 + seed % 4, Emotion.CALM, frames, 0, delivery)


def test_a_clip_too_short_for_a_word_is_refused():
    with pytest.raises(ValueError, match="at least 12"):
        make_speech(0, 11, world=LIVELY)
    assert make_speech(0, 12, world=LIVELY).transcript


def test_onset_and_tempo_are_left_to_chance():
    onsets, seconds = [], []
    for delivery in deliveries(20):
        line = Line("happy robot", 0.0, 0.02 * len(onsets))
        speech = recite([line], 1, Emotion.CALM, 49, 0, delivery)
        onsets.append(first_loud(speech.waveform))
        seconds.append(speech.end - line.first_sound)
    np.testing.assert_allclose(np.diff(onsets), 0.02, atol=0.02)
    assert max(seconds) / min(seconds) > 1.2
    starts = [make_speech(seed, 65, world=LIVELY).letter_seconds[0] for seed in range(30)]
    assert np.ptp(starts) > 0.6 * LATEST_ONSET


@pytest.mark.parametrize("other", [Delivery(pitch=5), Delivery(pitch_range=0.6), Delivery(ending="?")])
def test_pitch_is_left_to_chance(other):
    plain, changed = (recite([Line("hello robot")], 1, Emotion.HAPPY, 33, 0, one) for one in (PLAIN, other))
    assert np.abs(plain.waveform - changed.waveform).max() > 0.1
    assert changed.end == pytest.approx(plain.end, abs=0.06)


def test_emphasis_is_heard_where_it_is_and_opens_the_mouth_there():
    loud_end = Delivery(emphasis=(-6, -6, 6, 6, 6, 6, 6, 6))
    plain, emphasised = (recite([Line("sun moon sun moon")], 1, Emotion.CALM, 33, 0, one) for one in (PLAIN, loud_end))
    first, last = slice(3, 9), slice(13, 22)
    before = plain.mouth_open[last].mean() / plain.mouth_open[first].mean()
    assert emphasised.mouth_open[last].mean() / emphasised.mouth_open[first].mean() > 1.3 * before


def test_a_weak_expression_lies_between_calm_and_full():
    faces = [
        film(recite([Line("yes")], 1, emotion, 17, 0, Delivery(strength=strength)), 3, 128).frames[0].astype(float)
        for emotion, strength in ((Emotion.CALM, 1.0), (Emotion.ANGRY, 0.5), (Emotion.ANGRY, 1.0))
    ]
    calm, weak, full = faces
    whole = np.abs(full - calm).mean()
    assert 0.2 * whole < np.abs(weak - calm).mean() < whole
    assert 0.2 * whole < np.abs(full - weak).mean() < whole


@pytest.mark.parametrize("movement", MOVEMENTS)
def test_lively_movement_starts_at_rest_and_still_does_what_the_caption_says(movement):
    motions = [draw_motion(np.random.default_rng(seed), movement, 49, LIVELY) for seed in range(8)]
    for motion in motions:
        assert (motion.yaw[0], motion.pitch[0], motion.bob[0], motion.lids[0]) == (0, 0, 0, 0)
        assert (motion.gaze[0] == 0).all()
    yaw, pitch = (np.stack([getattr(motion, name) for motion in motions]) for name in ("yaw", "pitch"))
    assert (yaw[:, -1] < -0.5).all() == (movement == "left")
    assert (yaw[:, -1] > 0.5).all() == (movement == "right")
    assert ((yaw.max(1) > 0.4) & (yaw.min(1) < -0.4)).all() == (movement == "shakes")
    assert (pitch.max(1) > 0.5).all() == (movement == "nods")
    assert len({motion.yaw.tobytes() for motion in motions}) == 8


def test_eyes_look_aside_now_and_then_and_back():
    gaze = np.stack([draw_motion(np.random.default_rng(seed), "still", 65, LIVELY).gaze for seed in range(20)])
    away = (gaze != 0).any(-1)
    assert 0.3 < away.mean() < 0.8
    assert np.abs(gaze).max() <= 1


def test_a_shifted_gaze_is_seen_in_the_eyes_alone():
    speech = recite([], 1, Emotion.CALM, 33)
    clip = film(speech, 5, 128, world=LIVELY)
    motion_free = film(speech, 5, 128, world=STEADY)
    moved = np.abs(clip.frames.astype(int) - motion_free.frames).max((0, 3)) > 40
    assert moved.any()
    assert not moved[int(clip.mouth_center[0, 1] + 0.5 * clip.face_radius) + 20 :].any()


def test_lively_mouths_follow_their_own_sound(clips):
    fits, others = [], []
    for one, other in zip(clips, clips[1:] + clips[:1], strict=True):
        opening = mouth_opening(one.frames, one.mouth_center, one.face_radius)
        for clip, found in ((one, fits), (other, others)):
            found.append(correlation(opening, sound_envelope(log_mel(torch.from_numpy(clip.waveform)).numpy(), 33)))
    assert np.mean(fits) > 0.7
    assert np.mean(others) < np.mean(fits) - 0.2


def test_a_lively_scenes_sentence_begins_between_its_start_and_the_latest_onset():
    scenes = [make_scene(seed, size=32, world=LIVELY, video_frames=LENGTHS[seed % 5]) for seed in range(30)]
    assert {bool(scene.kept_latents) for scene in scenes} == {True, False}
    for seed, scene in enumerate(scenes):
        length = LENGTHS[seed % 5]
        assert scene.clip.frames.shape[0] == length
        assert scene.start < scene.end < length / 16
        spoken = scene.clip.waveform[int((scene.start + LEAD_SECONDS - 0.02) * 24_000) :]
        assert first_loud(spoken) < LATEST_ONSET + 0.15


def test_another_chance_changes_delivery_and_movement_and_nothing_that_conditions_tell():
    own = next(scene for seed in range(100, 200) if (scene := make_scene(seed, world=LIVELY)).start == 0)
    other = make_scene(own.clip.seed, world=replace(LIVELY, chance=1))
    assert np.array_equal(own.earlier, other.earlier)
    for name in ("transcript", "caption", "voice", "emotion", "movement", "face_radius"):
        assert getattr(own.clip, name) == getattr(other.clip, name), name
    assert not np.array_equal(own.clip.mouth_center, other.clip.mouth_center)
    assert own.end != other.end


def test_some_lively_pairs_speak_both_at_once():
    pairs = [pair for seed in range(40) if len((pair := make_pair(seed, world=LIVELY, size=32)).speakers) == 2]
    together = [pair.starts[0] == pair.starts[1] for pair in pairs]
    assert 0.2 < np.mean(together) < 0.8
