"""Spans of a clip kept, the rest generated."""

import re
from fractions import Fraction

import pytest
import torch

from tests.nodes.studio import moving_frames, video_of


@pytest.fixture(scope="module")
def clip():
    """Two seconds of pictures at 16 fps with a stereo sound at 48 kHz."""
    generator = torch.Generator().manual_seed(0)
    sound = {"waveform": 0.2 * torch.randn(1, 2, 99_000, generator=generator), "sample_rate": 48_000}
    frames = moving_frames(33, 64, 64)
    return frames, sound, video_of(frames, Fraction(16), sound)


def keep(studio, video_spans, audio_spans, **inputs):
    positive, negative = studio.texts()
    latent = studio.nodes.empty_latent.EmptyLatent.execute(64, 64, 2.0625).args[0]
    node = studio.nodes.keep.Keep
    return node.execute(positive, negative, latent, studio.video_vae, video_spans, audio_spans, **inputs).args


def test_kept_spans_come_back_untouched_and_the_gap_is_generated(studio, clip):
    frames, sound, video = clip
    positive, negative, latent, given = keep(studio, "0-1, 1.5-", "0-0.5, 1-", video=video)
    images, audio, fps = studio.decode(studio.sample(positive, negative, latent), given)
    assert (fps, audio["sample_rate"]) == (16, 48_000)
    assert torch.equal(images[:16], frames[:16])
    assert torch.equal(images[24:33], frames[24:33])
    assert not torch.equal(images[16:24], frames[16:24])
    assert torch.equal(audio["waveform"][..., :24_000], sound["waveform"][..., :24_000])
    assert torch.equal(audio["waveform"][..., 48_000:96_000], sound["waveform"][..., 48_000:96_000])
    gap = slice(26_000, 46_000)
    assert not torch.equal(audio["waveform"][..., gap], sound["waveform"][..., gap])


def test_masks_follow_the_spans_in_seconds(studio, clip):
    latent = keep(studio, "0-1, 1.5-", "0-0.5, 1-", video=clip[2])[2]
    video_mask, audio_mask = (mask.flatten() for mask in latent["noise_mask"].unbind())
    assert video_mask.tolist() == [
        0,
        0,
        0,
        0,
        1,
        1,
        1,
        0,
        0,
    ]  # latent 4 holds frames 13 to 16, of which 16 is generated
    assert audio_mask.nonzero().flatten().tolist() == list(range(50, 100))


@pytest.mark.parametrize(
    ("video_spans", "audio_spans", "expected"),
    [
        ("all", "", "video_to_audio"),
        ("all", "0-1", "video_to_audio"),
        ("", "all", "audio_to_video"),
        ("0-1", "0-1", "both"),
        ("all", "all", "off"),
    ],
)
def test_a_side_that_is_kept_whole_takes_no_update(studio, clip, video_spans, audio_spans, expected):
    positive = keep(studio, video_spans, audio_spans, video=clip[2])[0]
    assert studio.nodes.host.conditioning.pass_settings.pass_settings_of(positive[0][1]).interaction.value == expected


def test_a_sound_of_its_own_takes_the_place_of_the_videos(studio, clip):
    other = {"waveform": torch.full((1, 1, 50_000), 0.1), "sample_rate": 24_000}
    given = keep(studio, "", "0-1", video=clip[2], audio=other)[3]
    assert given.source.sound.sample_rate == 24_000


@pytest.mark.parametrize(
    ("spans", "words"),
    [("0-1, 0.5-2", "overlap"), ("2-1", "ends before it starts"), ("one-two", "cannot be read|not made of numbers"),
     ("-1--2", "before 0|cannot be read"), ("1-1", "empty")],
)  # fmt: skip
def test_spans_that_make_no_sense_are_named_before_anything_runs(studio, spans, words):
    fault = studio.nodes.keep.Keep.validate_inputs(video_spans=spans, audio_spans="")
    assert re.search(words, str(fault)), fault


def test_spans_outside_the_clip_are_named(studio, clip):
    with pytest.raises(ValueError, match="begins after the end of the audio"):
        keep(studio, "", "5-6", video=clip[2])


def test_spans_of_what_is_not_there_are_named(studio):
    with pytest.raises(ValueError, match="no video is connected"):
        keep(studio, "0-1", "")


def referred_then_kept(studio, clip, video_spans):
    """Latents after Reference Image, and after Keep that follows it."""
    positive, negative = studio.texts()
    latent = studio.nodes.empty_latent.EmptyLatent.execute(64, 64, 2.0625).args[0]
    refer = studio.nodes.speech_and_reference.ReferenceImage.execute
    positive, negative, first = refer(positive, negative, studio.video_vae, studio.image(), latent, "crop").args
    node = studio.nodes.keep.Keep
    second = node.execute(positive, negative, first, studio.video_vae, video_spans, "", video=clip[2]).args[2]
    return first, second


def test_keep_leaves_the_reference_image_as_the_first_frame_where_it_keeps_only_later_ones(studio, clip):
    first, second = referred_then_kept(studio, clip, "1-")
    kept = keep(studio, "1-", "", video=clip[2])[2]
    before, after, alone = (latent["samples"].unbind()[0] for latent in (first, second, kept))
    assert torch.equal(after[:, :, 0], before[:, :, 0])
    assert torch.equal(after[:, :, 5:], alone[:, :, 5:])
    mask = second["noise_mask"].unbind()[0].flatten()
    assert mask.tolist() == [0, 1, 1, 1, 1, 0, 0, 0, 0]


def test_keep_replaces_the_first_frame_of_a_reference_image_where_it_keeps_that_frame_too(studio, clip):
    first, second = referred_then_kept(studio, clip, "0-1")
    kept = keep(studio, "0-1", "", video=clip[2])[2]
    before, after, alone = (latent["samples"].unbind()[0][:, :, 0] for latent in (first, second, kept))
    assert torch.equal(after, alone)
    assert not torch.equal(after, before)


EARLIER = [0.0, 0.0, 0.0, 0.5, 0.5, 0.5, 1.0, 1.0, 1.0]
LATER = [0.0, 0.5, 1.0, 0.0, 0.5, 1.0, 0.0, 0.5, 1.0]
MASKS = [0.0, 0.0, 0.0, 0.0, 0.5, 0.5, 0.0, 0.5, 1.0]
VALUES = [2, 1, 1, 2, 2, 1, 2, 2, 0]
"""Which of two givers, the first or the second, a place holds the values of; 0 for neither."""


def test_of_two_that_keep_the_same_pictures_the_one_that_keeps_more_decides_and_of_equals_the_later(studio):
    latent, host = (
        studio.nodes.empty_latent.EmptyLatent.execute(64, 64, 2.0625).args[0],
        studio.nodes.host.sampling.joint_latent,
    )
    for value, weights in ((1.0, EARLIER), (2.0, LATER)):
        latent = host.keep_video(latent, torch.full((1, 48, 9, 4, 4), value), torch.tensor(weights))
    video, mask = (latent[key].unbind()[0] for key in ("samples", "noise_mask"))
    assert mask.flatten().tolist() == MASKS
    assert torch.equal(video, torch.tensor(VALUES).float()[:, None, None].expand_as(video))


def test_of_two_that_keep_the_same_sound_the_one_that_keeps_more_decides_and_of_equals_the_later(studio):
    latent, host = (
        studio.nodes.empty_latent.EmptyLatent.execute(64, 64, 2.0625).args[0],
        studio.nodes.host.sampling.joint_latent,
    )
    for value, weights in ((1.0, EARLIER), (2.0, LATER)):
        latent = host.keep_audio(latent, torch.full((9, 80), value), torch.tensor(weights))
    audio, mask = (latent[key].unbind()[1][0, 0] for key in ("samples", "noise_mask"))
    assert mask[:9].flatten().tolist() == MASKS
    assert torch.equal(audio[:9], torch.tensor(VALUES).float()[:, None].expand(9, 80))
    assert mask[9:].min() == 1
