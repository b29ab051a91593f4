"""What training draws from: chunks for the codec, shards on disk, and the codec's loss."""

import numpy as np
import pytest
import torch

from toon.clips import make_speech
from toon.training.clip_shards import ShardPlan, mel_of, read_shards, speech_row, write_shards
from toon.training.codec_training import (
    CodecBatch,
    CodecClips,
    CodecTraining,
    chunk_weights,
    codec_loss,
    codec_loss_of,
    crop_chunks,
    detail_error,
    latent_noise,
)
from toon.training.first_stages import WholeClips
from uniavgen_core.bundled.video_codec import VideoCodec
from uniavgen_core.media.video.latent_masks import latent_shares
from uniavgen_core.tasks import JOINT
from uniavgen_core.training.batch_part import Part
from uniavgen_core.training.task_sampling import TaskSample


def test_moving_chunks_are_drawn_more_often():
    mouth_open = np.zeros((1, 9))
    mouth_open[0, 6] = 1.0
    chances = chunk_weights(mouth_open, still_share=0.1)
    np.testing.assert_allclose(chances, np.array([0.1, 0.1, 1.1]) / 1.3)


def test_an_error_in_motion_costs_more_than_the_same_error_held_still():
    chunks = torch.zeros(1, 4, 3, 16, 16)
    chunks[:, 2:, :, 4:8, 4:8] = 1.0
    held = chunks.clone()
    held[..., 4:8, 4:8] += 0.25
    frozen = chunks.clone()
    frozen[..., 4:8, 4:8] += torch.tensor([0.25, 0.25, -0.25, -0.25])[None, :, None, None, None]
    config = CodecTraining()
    assert codec_loss(frozen, chunks, config) > 1.5 * codec_loss(held, chunks, config)


def test_where_an_edge_may_lie_on_two_pixels_a_sharp_one_beats_the_blurred_mean_in_detail_alone():
    chunks, beside = torch.zeros(1, 4, 3, 16, 16), torch.zeros(1, 4, 3, 16, 16)
    chunks[..., 6:], beside[..., 7:] = 1.0, 1.0
    blurred = (chunks + beside) / 2
    plain, detail = CodecTraining(), CodecTraining(detail_weight=10.0)
    assert codec_loss(blurred, chunks, plain) < codec_loss(beside, chunks, plain)
    assert codec_loss(blurred, chunks, detail) > codec_loss(beside, chunks, detail)
    assert detail_error(chunks, chunks) == 0
    assert detail_error(chunks + 0.02 * torch.randn(chunks.shape), chunks) > 10 * detail_error(chunks + 0.02, chunks)


def test_a_token_counts_as_face_if_any_of_its_frames_shows_one():
    masks = np.zeros((9, 32, 32), np.uint8)
    masks[3, :16, :8] = 255
    masks[7, 16:, 16:] = 255
    shares = latent_shares(masks)
    np.testing.assert_array_equal(shares, [[[0, 0], [0, 0]], [[0.5, 0], [0, 0]], [[0, 0], [0, 1]]])


def test_shards_hold_what_their_seeds_say_and_are_made_once(tmp_path):
    plan = ShardPlan(tmp_path, count=3, shard=2, first_seed=5)
    write_shards(plan, speech_row)
    made = [path.stat().st_mtime_ns for path, _ in plan.shards()]
    write_shards(plan, speech_row)
    assert [path.stat().st_mtime_ns for path, _ in plan.shards()] == made
    assert [list(seeds) for _, seeds in plan.shards()] == [[5, 6], [7]]
    rows = read_shards(plan)
    speeches = [make_speech(seed) for seed in (5, 6, 7)]
    assert rows["transcript"].tolist() == [speech.transcript for speech in speeches]
    np.testing.assert_array_equal(rows["mel"], [mel_of(speech.waveform) for speech in speeches])


def test_a_clip_without_text_has_the_null_text_padded_as_in_any_other_part():
    rows = {"mel": np.zeros((1, 24, 80)), "transcript": np.array(["red moon"])}
    clips = WholeClips(rows).draw_clips(
        TaskSample(JOINT, JOINT.interaction, 1.0), Part(0, 0, 2).shared(0), Part(0, 0, 2).own(0)
    )
    assert clips.conditions.speech_lengths.tolist() == [10, 10]
    assert clips.conditions.speech_ids[1].tolist()[:10] == [0, *[-1] * 9]


def test_chunks_are_drawn_by_their_chances_whatever_the_part():
    frames = np.zeros((2, 9, 32, 32, 3), np.uint8) + (10 * np.arange(9, dtype=np.uint8))[None, :, None, None, None]
    mouth = np.zeros((2, 9))
    mouth[:, 6] = 1.0
    clips, config = CodecClips(frames, mouth, np.full((2, 9, 2), 16.0)), CodecTraining(crop=32, still_share=0.1)
    crops = crop_chunks(clips, config, Part(0, 0, 400).own(0))
    last = ((crops[:, -1].mean((1, 2, 3)) + 1) * 12.75).round()
    assert (last == 8).float().mean().item() == pytest.approx(1.1 / 1.3, abs=0.05)
    assert torch.equal(crops[7:9], crop_chunks(clips, config, Part(0, 7, 2).own(0)))


def test_crops_show_the_frames_of_one_latent():
    frames = np.zeros((2, 9, 96, 96, 3), np.uint8) + (10 * np.arange(9, dtype=np.uint8))[None, :, None, None, None]
    clips = CodecClips(frames, np.zeros((2, 9)), np.full((2, 9, 2), 48.0))
    crops = crop_chunks(clips, CodecTraining(crop=32), Part(0, 0, 40).own(0))
    shown = {tuple(((chunk + 1) * 12.75).round().int().tolist()) for chunk in crops.mean((2, 3, 4))}
    assert shown == {(0, 0, 0, 0), (1, 2, 3, 4), (5, 6, 7, 8)}


def noisy(chunks):
    return CodecBatch(chunks, latent_noise(chunks, Part(0, 0, len(chunks)).own(0)))


def test_training_the_decoder_alone_leaves_latents_as_they_are():
    torch.manual_seed(0)
    codec, chunks = VideoCodec(), torch.rand(2, 4, 3, 32, 32)
    before = codec.latent_mean.clone()
    codec_loss_of(codec, noisy(chunks), CodecTraining(decoder_only=True)).backward()
    assert all(parameter.grad is None for parameter in codec.encoder.parameters())
    assert all(parameter.grad is not None for parameter in codec.decoder.parameters())
    assert torch.equal(codec.latent_mean, before)
    codec_loss_of(codec, noisy(chunks), CodecTraining()).backward()
    assert all(parameter.grad is not None for parameter in codec.encoder.parameters())
    assert not torch.equal(codec.latent_mean, before)


def test_an_anchor_pulls_moved_latents_back_and_leaves_the_statistics():
    codec, earlier, chunks = VideoCodec(), VideoCodec(), torch.rand(2, 4, 3, 32, 32)
    earlier.load_state_dict(codec.state_dict())
    before = codec.latent_mean.clone()
    losses = [codec_loss_of(codec, noisy(chunks), CodecTraining(anchor=2.0), earlier)]
    torch.testing.assert_close(losses[0], codec_loss_of(codec, noisy(chunks), CodecTraining(), earlier))
    with torch.no_grad():
        earlier.encoder.layers[-1].bias += 0.5
    losses.append(codec_loss_of(codec, noisy(chunks), CodecTraining(anchor=2.0), earlier))
    torch.testing.assert_close(losses[1] - losses[0], torch.tensor(2 * 0.5**2))
    losses[1].backward()
    assert torch.equal(codec.latent_mean, before)
    assert all(parameter.grad is None for parameter in earlier.parameters())
    assert (codec.encoder.layers[-1].bias.grad < 0).all()
