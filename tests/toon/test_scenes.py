"""Scenes and pairs: who speaks when, what came before, and whose face is where."""

import numpy as np
import pytest
import torch

from toon.clips import VOICES, Line, make_pair, make_scene, make_speech, recite, speak, split_of
from toon.clips.scene import kept_frames
from uniavgen_core.evaluation.lip_sync import correlation, mouth_opening, sound_envelope
from uniavgen_core.media.audio.mel import log_mel


@pytest.fixture(scope="module")
def scenes():
    return [make_scene(seed, size=64) for seed in range(40)]


@pytest.fixture(scope="module")
def pairs():
    return [make_pair(seed, size=64) for seed in range(24)]


def loud_seconds(waveform):
    return np.flatnonzero(np.abs(waveform) > 0.02) / 24_000


def test_one_line_is_what_speak_says():
    spoken, recited = speak("red moon", 2, 1, seed=7), recite([Line("red moon")], 2, 1, seed=7)
    assert np.array_equal(spoken.waveform, recited.waveform)
    assert np.array_equal(spoken.mouth_open, recited.mouth_open)


def test_a_later_line_is_the_same_speech_later():
    early, later = recite([Line("red moon")], 2, 1, 49), recite([Line("red moon", 1.0)], 2, 1, 49)
    np.testing.assert_allclose(later.mouth_open[16:], early.mouth_open[:33], atol=0.02)
    assert later.mouth_open[:16].max() < 0.01
    assert later.end == pytest.approx(early.end + 1)
    np.testing.assert_allclose(later.letter_seconds, early.letter_seconds + 1, atol=1e-5)


def test_two_lines_are_both_heard_with_silence_between():
    speech = recite([Line("red moon"), Line("yes", 1.5)], 5, 0, 49)
    loud = loud_seconds(speech.waveform)
    gap = speak("red moon", 5, 0).end
    assert speech.transcript == "red moon yes"
    assert len(speech.letter_seconds) == len(speech.transcript)
    assert ((loud > 0.1) & (loud < gap)).any()
    assert not ((loud > gap + 0.1) & (loud < 1.6)).any()
    assert (loud > 1.6).any()


def test_nobody_speaking_is_a_shut_mouth_and_the_noise_floor():
    speech = recite([], 3, 0)
    assert speech.mouth_open.max() == 0
    assert speech.transcript == ""
    assert -62 < 20 * np.log10(speech.waveform.std()) < -58


def test_a_scene_follows_from_its_seed(scenes):
    again = make_scene(3, size=64)
    assert np.array_equal(again.clip.frames, scenes[3].clip.frames)
    assert np.array_equal(again.clip.waveform, scenes[3].clip.waveform)


def test_scenes_are_of_every_kind(scenes):
    continued = [scene for scene in scenes if scene.kept_latents]
    assert {scene.kept_latents for scene in continued} == {2, 3, 4, 5}
    assert {scene.fits for scene in scenes} == {True, False}
    assert any(scene.start == 0 for scene in scenes)
    assert any(scene.start > 0 and not scene.kept_latents for scene in scenes)
    spoke_before = [loud_seconds(scene.clip.waveform).min() < scene.start for scene in continued]
    assert any(spoke_before)
    assert not all(spoke_before)


def test_a_scenes_sentence_lies_between_its_start_and_its_end(scenes):
    for scene in scenes:
        loud = loud_seconds(scene.clip.waveform)
        own = loud[loud > scene.start]
        assert own[0] == pytest.approx(scene.start + 0.12, abs=0.06)
        assert own[-1] < scene.end + 0.05
        assert scene.end < 33 / 16
        frames = np.arange(33) / 16
        assert scene.clip.mouth_open[(frames > scene.start) & (frames < scene.end)].max() > 0.2
        assert scene.clip.mouth_open[frames > scene.end + 0.13].max(initial=0) < 0.05


def test_a_continued_scene_rests_just_before_its_sentence_which_begins_where_kept_latents_end(scenes):
    for scene in scenes:
        if scene.kept_latents:
            assert scene.start == kept_frames(scene.kept_latents) / 16
            assert scene.clip.mouth_open[kept_frames(scene.kept_latents) - 1] < 0.1


def test_the_earlier_picture_is_the_same_toon_at_rest(scenes):
    for scene in scenes:
        corner = scene.clip.frames[0, :4, :4].astype(int)
        assert np.abs(scene.earlier[:4, :4] - corner).max() <= 2
        if not scene.kept_latents:
            assert np.array_equal(scene.earlier, scene.clip.frames[0])


def test_held_out_scenes_say_held_out_sentences():
    assert {split_of(make_scene(seed, "held_out", 32).clip.transcript) for seed in range(10)} == {"held_out"}


def test_a_pair_follows_from_its_seed_and_has_two_voices(pairs):
    assert np.array_equal(make_pair(5, size=64).frames, pairs[5].frames)
    assert all(pair.clips[0].voice != pair.clips[1].voice for pair in pairs)
    assert len({clip.voice for pair in pairs for clip in pair.clips}) == len(VOICES)


def test_pairs_have_one_speaker_on_either_side_or_two(pairs):
    assert {pair.speakers for pair in pairs} == {(0,), (1,), (0, 1)}
    for pair in pairs:
        for side in (0, 1):
            assert (pair.ends[side] > 0) == (side in pair.speakers)
            told = pair.caption.split("On the right")[side]
            assert ("talks" in told) == (side in pair.speakers)


def test_each_face_and_mouth_is_in_its_own_half(pairs):
    for pair in pairs:
        for side in (0, 1):
            inside = slice(64 * side, 64 * side + 64)
            for mask in (pair.face_mask(side), pair.mouth_mask(side), pair.eye_mask(side)):
                assert mask[:, :, inside].any()
                assert mask[:, :, inside].sum() == mask.sum()
            columns, rows = np.rint(pair.mouth_center(side)).astype(int).T
            assert (pair.face_mask(side)[np.arange(33), rows, columns] > 127).all()


def test_in_a_pair_the_speakers_mouth_follows_the_sound_and_the_other_stays_shut():
    lone = [pair for pair in map(make_pair, range(24)) if len(pair.speakers) == 1]
    fits = []
    for pair in lone:
        side = pair.speakers[0]
        sound = sound_envelope(log_mel(torch.from_numpy(pair.clips[side].waveform)).numpy(), 33)
        fits.append([
            correlation(mouth_opening(pair.frames, pair.mouth_center(one), pair.clips[one].face_radius), sound)
            for one in (side, 1 - side)
        ])  # fmt: skip
        assert pair.clips[1 - side].mouth_open.max() == 0
    assert np.mean(fits, axis=0)[0] > 0.7
    assert np.mean(fits, axis=0)[1] < 0.15


def test_a_window_is_frames_with_their_own_sound():
    clip = make_scene(2, size=64).clip
    part = clip.window(8, 16)
    assert np.array_equal(part.frames, clip.frames[8:24])
    assert np.array_equal(part.waveform, clip.waveform[12_000:36_000])
    assert np.array_equal(part.mouth_open, clip.mouth_open[8:24])


def test_a_voice_can_be_asked_for():
    assert {make_speech(seed, voice=6).voice for seed in range(5)} == {6}
