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
    return node.execute(positive, negative, latent, studio.video_codec, video_spans, audio_spans, **inputs).args


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
    assert studio.nodes.host.conditioning.pass_settings.pass_of(positive[0][1]).interaction.value == expected


def test_a_sound_of_its_own_takes_the_place_of_the_videos(studio, clip):
    other = {"waveform": torch.full((1, 1, 50_000), 0.1), "sample_rate": 24_000}
    given = keep(studio, "", "0-1", video=clip[2], sound=other)[3]
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
    with pytest.raises(ValueError, match="begins after the end of the sound"):
        keep(studio, "", "5-6", video=clip[2])


def test_spans_of_what_is_not_there_are_named(studio):
    with pytest.raises(ValueError, match="no video is connected"):
        keep(studio, "0-1", "")
