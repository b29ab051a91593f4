"""A user's frames: choosing, counting, colouring and sizing them."""

import pytest
import torch

from uniavgen_core.media.video.frames import (
    Fit,
    check_frames,
    fit_frame_count,
    frame_times,
    nearest_frames,
    resample_frames,
    resize,
    resize_frames,
    to_rgb,
)


def numbered(count):
    """Frames whose every pixel is their index."""
    return torch.arange(count, dtype=torch.float32).view(-1, 1, 1, 1).expand(-1, 2, 2, 3).contiguous()


def numbers(frames):
    return frames[:, 0, 0, 0].int().tolist()


def noise(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("fps", [16, 23.976, 24, 25, 29.97, 30, 50, 59.94, 60, 8])
def test_every_new_frame_is_the_old_one_nearest_in_time(fps):
    old_times = frame_times(100, fps)
    found = numbers(resample_frames(numbered(100), fps, 16))
    assert abs(len(found) - 100 / fps * 16) <= 0.5
    for index, time in zip(found, frame_times(len(found), 16), strict=True):
        assert abs(old_times[index] - time) <= (old_times - time).abs().min() + 1e-6


def test_30_to_16_takes_these_frames():
    assert numbers(resample_frames(numbered(17), 30, 16)) == [0, 2, 4, 6, 8, 9, 11, 13, 15]
    assert numbers(resample_frames(numbered(4), 8, 16)) == [0, 1, 1, 2, 2, 3, 3, 3]


def test_the_same_rate_gives_the_very_same_frames():
    for fps in (16, 23.976, 30):
        frames = numbered(700)
        assert resample_frames(frames, fps, fps) is frames


@pytest.mark.parametrize("fps", [24, 25, 30, 60])
def test_to_a_higher_rate_and_back_gives_the_same_frames(fps):
    frames = numbered(81)
    assert torch.equal(resample_frames(resample_frames(frames, 16, fps), fps, 16), frames)


def test_times_before_and_after_a_video_take_its_first_and_its_last_frame():
    assert nearest_frames(10, 16, torch.tensor([-1.0, 0.0, 9.0], dtype=torch.float64)).tolist() == [0, 0, 9]


def test_of_two_frames_as_near_the_later_is_taken():
    times = torch.tensor([0.05 - 1e-12, 0.05, 0.05 + 1e-12], dtype=torch.float64)
    assert nearest_frames(10, 30, times).tolist() == [2, 2, 2]


def test_a_still_is_a_video():
    assert numbers(resample_frames(numbered(1), 60, 16)) == [0]
    assert numbers(resample_frames(numbered(1), 1, 16)) == [0] * 16
    assert numbers(fit_frame_count(numbered(1), 5)) == [0] * 5
    (notice,) = check_frames(numbered(1) / 255, "the video")
    assert "single frame" in notice


def test_frames_of_any_kind_are_taken_without_converting_them():
    for dtype in (torch.uint8, torch.float16):
        frames = numbered(100).to(dtype)
        found = resample_frames(frames, 30, 16)
        assert found.dtype is dtype
        assert torch.equal(found[3], frames[6])


def test_frames_of_a_long_video_are_chosen_before_they_are_copied():
    video = torch.zeros(1, 720, 1280, 3).expand(10_000, -1, -1, -1)  # 110 GB if it were copied
    assert to_rgb(fit_frame_count(video, 9_999))[0].data_ptr() == video.data_ptr()


def test_a_very_long_video_is_noticed():
    (notice,) = check_frames(torch.zeros(1, 2, 2, 3).expand(10_000, -1, -1, -1), "the video")
    assert notice == "The video has 10000 frames; only those that the clip needs are used."
    assert check_frames(noise(2, 5, 7, 3), "the video") == []


def test_a_count_is_reached_by_cutting_or_by_repeating_the_last_frame():
    assert numbers(fit_frame_count(numbered(6), 4)) == [0, 1, 2, 3]
    assert numbers(fit_frame_count(numbered(6), 9)) == [0, 1, 2, 3, 4, 5, 5, 5, 5]


@pytest.mark.parametrize("fps", [0, -16, float("nan"), float("inf")])
def test_absurd_rates_are_refused(fps):
    for function in (lambda: resample_frames(numbered(4), fps, 16), lambda: frame_times(4, fps)):
        with pytest.raises(ValueError, match=f"frame rate is {fps}"):
            function()


@pytest.mark.parametrize("shape", [(0, 4, 4, 3), (4, 4, 3), (1, 0, 4, 3), (1, 4, 4, 5), (1, 4, 4, 0)])
def test_what_is_not_frames_is_refused(shape):
    with pytest.raises(ValueError, match="The video has shape"):
        check_frames(torch.zeros(shape), "the video")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_the_broken_frame_is_named(value):
    frames = noise(80, 4, 4, 3)
    frames[70, 2, 1, 0] = value
    with pytest.raises(ValueError, match="The video holds values that are not finite in frame 70"):
        check_frames(frames, "the video")


def test_rgb_is_left_alone():
    frames = noise(3, 4, 5, 3)
    found, notices = to_rgb(frames)
    assert found is frames
    assert notices == []


def test_transparency_shows_white_in_proportion():
    for colours in (1, 3):
        frames = noise(70, 4, 5, colours)
        alpha = noise(70, 4, 5, 1)
        found, (notice,) = to_rgb(torch.cat([frames, alpha], -1))
        torch.testing.assert_close(found, (alpha * frames + 1 - alpha).expand(-1, -1, -1, 3))
        assert "alpha" in notice
        assert "white" in notice


def test_opaque_pictures_keep_their_colours_exactly():
    frames = noise(3, 4, 5, 3)
    assert torch.equal(to_rgb(torch.cat([frames, torch.ones(3, 4, 5, 1)], -1))[0], frames)


def test_grey_is_repeated_and_bytes_are_scaled():
    grey = noise(40, 4, 5, 1)
    found, (notice,) = to_rgb(grey)
    assert torch.equal(found, grey.repeat(1, 1, 1, 3))
    assert "gray" in notice
    levels = (noise(40, 4, 5, 3) * 255).to(torch.uint8)
    assert torch.equal(to_rgb(levels)[0], levels.float() / 255)


@pytest.mark.parametrize("fit", Fit)
def test_frames_of_the_right_size_are_left_alone(fit):
    frames = noise(2, 32, 64, 3)
    assert resize_frames(frames, 64, 32, fit) is frames


def test_stretching_shows_all_and_cropping_the_middle():
    frames = noise(40, 30, 90, 3)
    assert torch.equal(resize_frames(frames, 32, 32, Fit.STRETCH), resize(frames, 32, 32))
    assert torch.equal(resize_frames(frames, 32, 32, Fit.CROP), resize(frames[:, :, 30:60], 32, 32))
    tall = frames.transpose(1, 2)
    assert torch.equal(resize_frames(tall, 64, 32), resize(tall[:, 37:52], 64, 32))


def test_of_a_line_of_pixels_the_middle_one_is_shown():
    line = noise(1, 1, 501, 3)
    middle = line[:, :, 250:251].expand(1, 128, 32, 3)
    assert (resize_frames(line, 32, 128) - middle).abs().max() < 1 / 255
    assert (resize_frames(line.transpose(1, 2), 128, 32) - middle.transpose(1, 2)).abs().max() < 1 / 255
