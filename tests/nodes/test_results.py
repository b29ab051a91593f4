"""Broken results are said with their cause and a cure, and ordinary ones pass without a word."""

import pytest
import torch

from tests.nodes.studio import moving_frames, notices_of
from tests.nodes.test_long import folder, long_video  # noqa: F401 - a fixture

SOUND = 0.1 * torch.sin(torch.arange(24_000) / 20)[None, None]


@pytest.fixture
def notices(studio):
    checks = studio.nodes.host.sampling.result_checks
    return lambda pictures, sound=SOUND: " ".join(checks.result_notices(pictures, sound))


def test_an_ordinary_result_is_not_remarked_on(notices):
    assert notices(moving_frames(17)[None]) == ""
    assert notices(None, torch.zeros(1, 1, 0)) == ""
    assert notices(moving_frames(1)[None].expand(-1, 5, -1, -1, -1)) == ""


@pytest.mark.parametrize(
    ("pictures", "sound", "words"),
    [
        (torch.zeros(1, 9, 8, 8, 3), SOUND, "video is black"),
        (moving_frames(1)[None].expand(-1, 9, -1, -1, -1), SOUND, "video is frozen"),
        (moving_frames(17)[None], torch.zeros(1, 1, 24_000), "audio is silent"),
    ],
)
def test_a_broken_result_is_named_once_with_a_cure(notices, pictures, sound, words):
    said = notices(pictures, sound)
    assert words in said
    assert said.count("The generated") == 1
    assert said.count(".") >= 2


def test_of_a_batch_the_clips_that_are_broken_are_numbered(notices):
    pictures = torch.stack([moving_frames(9), torch.zeros(9, 48, 80, 3), torch.zeros(9, 48, 80, 3)])
    assert "video of clip 2, 3 is black" in notices(pictures, SOUND.expand(3, -1, -1))


def dark(latent):
    """Black pictures of a latent's size."""
    frames, rows, columns = latent.shape[2:]
    return torch.zeros(1, 4 * frames - 3, 16 * rows, 16 * columns, 3)


def broken(latent, part, value):
    """A LATENT of which one value of a part is another."""
    samples = latent["samples"]
    parts = [each.clone() for each in samples.unbind()]
    parts[part].view(-1)[7] = value
    return {**latent, "samples": type(samples)(tuple(parts))}


@pytest.mark.parametrize(("part", "words"), [(0, "video latent"), (1, "audio latent")])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_latent_that_is_not_finite_is_refused_with_a_cure(studio, part, words, value):
    _, _, latent, _ = studio.task("joint", seconds=0.5625).args
    with pytest.raises(ValueError, match=f"The {words} holds values that are not finite.*bf16"):
        studio.decode(broken(latent, part, value))


def test_a_black_clip_is_decoded_with_a_notice(studio, monkeypatch):
    _, _, latent, _ = studio.task("joint", seconds=0.5625).args
    monkeypatch.setattr(studio.video_vae, "decode", dark)
    output = studio.nodes.decode.Decode.execute(latent, studio.video_vae, studio.audio_vae)
    assert "video is black" in notices_of(output)


def test_a_long_video_stores_no_segment_that_is_not_finite_and_tells_of_a_black_one(studio, folder, monkeypatch):  # noqa: F811
    told, run = [], studio.nodes.long_video.run_sampler
    monkeypatch.setattr(studio.nodes.long_video, "announce", told.append)
    with monkeypatch.context() as patch:
        patch.setattr(studio.nodes.long_video, "run_sampler", lambda *args: broken(run(*args), 0, float("nan")))
        with pytest.raises(ValueError, match="not finite"):
            long_video(studio, "hello")
    assert not list(folder.rglob("segment_*"))
    monkeypatch.setattr(studio.video_vae, "decode", dark)
    long_video(studio, "hello")
    assert any("Segment 1: The generated video is black" in notice for notice in told)
