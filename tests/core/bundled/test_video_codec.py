"""The small video codec: what each latent is coded from, sizes, and how well the shipped one keeps mouths moving."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from toon.clips.clip import make_clip
from uniavgen_core.bundled.bundled_files import CODEC_FILE
from uniavgen_core.bundled.video_codec import VideoCodec, to_chunks, write_frames
from uniavgen_core.evaluation.lip_sync import mouth_opening
from uniavgen_core.media.video.frames import codec_pixels

ASSETS = Path(__file__).parents[3] / "uniavgen_core" / "assets"


@pytest.fixture
def codec():
    torch.manual_seed(0)
    return VideoCodec((8, 8, 8))


@pytest.fixture(scope="module")
def shipped():
    codec = VideoCodec()
    codec.load_state_dict(load_file(ASSETS / CODEC_FILE))
    return codec.float().eval()


@pytest.mark.parametrize(("latent_frame", "own"), [(0, [0]), (1, [1, 2, 3, 4]), (2, [5, 6, 7, 8])])
def test_a_latent_frame_is_coded_from_its_own_frames_only(codec, latent_frame, own):
    frames = torch.rand(1, 3, 9, 32, 32).requires_grad_()
    codec.encode(frames)[:, :, latent_frame].square().sum().backward()
    assert frames.grad.abs().sum((0, 1, 3, 4)).nonzero().flatten().tolist() == own


@pytest.mark.parametrize(("latent_frame", "own"), [(0, [0]), (1, [1, 2, 3, 4]), (2, [5, 6, 7, 8])])
def test_a_latent_frame_decodes_to_its_own_frames_only(codec, latent_frame, own):
    latent = 0.1 * torch.randn(1, 48, 3, 2, 2)
    changed = latent.clone()
    changed[:, :, latent_frame] += 1
    difference = (codec.decode(changed) - codec.decode(latent)).abs().sum((0, 1, 3, 4))
    assert difference.nonzero().flatten().tolist() == own


@pytest.mark.parametrize(("video_frames", "height", "width"), [(1, 64, 128), (5, 128, 64), (6, 96, 96), (33, 96, 96)])
def test_every_length_and_size_comes_back_and_a_started_latent_is_filled(shipped, video_frames, height, width):
    face = codec_pixels(make_clip(3, 33, 128).frames[:1])[..., :height, :width]
    pictures = torch.cat([face, face.flip(-1)]).repeat(1, 1, video_frames, 1, 1)
    latent_frames = -(-(video_frames - 1) // 4) + 1
    with torch.no_grad():
        latent = shipped.encode(pictures)
        restored = shipped.decode(latent)
    assert latent.shape == (2, 48, latent_frames, height // 16, width // 16)
    assert restored.shape == (2, 3, 4 * (latent_frames - 1) + 1, height, width)
    assert (restored - pictures[:, :, :1]).abs().mean() < 0.06 < (pictures[0] - pictures[1]).abs().mean()


def test_frames_survive_grouping_and_the_last_one_fills_a_started_group():
    frames = torch.rand(2, 3, 7, 4, 6)
    restored = torch.full((2, 3, 9, 4, 6), torch.nan)
    for chunks, place in zip(to_chunks(frames), restored, strict=True):
        write_frames(chunks[2:], place, 2)
        write_frames(chunks[:2], place, 0)
    assert torch.equal(restored[:, :, 1:7], frames[:, :, 1:])
    torch.testing.assert_close(restored[:, :, 0], frames[:, :, 0])
    assert torch.equal(restored[:, :, 7], frames[:, :, 6])


def test_coding_in_passes_changes_nothing():
    torch.manual_seed(0)
    whole, parts = (VideoCodec((8, 8, 8), chunks_per_pass=n) for n in (16, 2))
    parts.load_state_dict(whole.state_dict())
    frames = torch.rand(2, 3, 17, 32, 32)
    latent = whole.encode(frames)
    torch.testing.assert_close(parts.encode(frames), latent)
    torch.testing.assert_close(parts.decode(latent), whole.decode(latent))


def test_latents_are_normalised_by_the_stored_statistics(codec):
    frames = torch.rand(1, 3, 5, 32, 32)
    raw = codec.encode(frames)
    codec.latent_mean.fill_(3.0)
    codec.latent_std.fill_(2.0)
    torch.testing.assert_close(codec.encode(frames), (raw - 3) / 2)


@pytest.mark.parametrize("shape", [(1, 3, 5, 40, 32), (1, 4, 5, 32, 32)])
def test_pictures_of_a_wrong_size_or_colour_count_are_refused(codec, shape):
    with pytest.raises(ValueError, match="cannot be coded"):
        codec.encode(torch.rand(shape))


def test_a_latent_with_other_channels_is_refused(codec):
    with pytest.raises(ValueError, match="48"):
        codec.decode(torch.rand(1, 16, 3, 2, 2))


@pytest.mark.parametrize("seed", [11, 12])
def test_the_shipped_codec_keeps_mouths_moving(shipped, seed):
    clip = make_clip(seed, split="held_out")
    with torch.no_grad():
        latent = shipped.encode(codec_pixels(clip.frames))
        decoded = ((shipped.decode(latent)[0].permute(1, 2, 3, 0) + 1) * 127.5).round().byte().numpy()
    true, seen = (mouth_opening(frames, clip.mouth_center, clip.face_radius) for frames in (clip.frames, decoded))
    assert np.corrcoef(true, seen)[0, 1] > 0.98
    assert 0.85 < seen.std() / true.std() < 1.15


def test_the_shipped_latents_have_about_unit_variance(shipped):
    with torch.no_grad():
        latent = shipped.encode(codec_pixels(make_clip(13, split="held_out").frames))
    assert 0.6 < latent.std() < 1.4
    assert latent.mean().abs() < 0.3
