"""One training step: what the network is shown, what it is compared with, and what counts in the losses."""

from dataclasses import replace

import pytest
import torch

from tests.training_toys import TINY, clips_of, own, tiny_model
from uniavgen_core.config import Interaction
from uniavgen_core.model.joint import JointOutput
from uniavgen_core.tasks import AUDIO_DRIVEN, DUBBING
from uniavgen_core.training.flow_matching import (
    LossWeights,
    batch_error,
    example_errors,
    face_mask_loss,
    flow_matching_losses,
    token_shares,
    with_noise,
    without_picture,
)
from uniavgen_core.training.task_sampling import LogitNormal, sample_sigmas

WEIGHTS = LossWeights(face=2, mask=0.1, mouth=4)


def losses_of(clips, model=None):
    batch = with_noise(clips, sample_sigmas(LogitNormal(), own()), own(seed=2))
    return flow_matching_losses(model or tiny_model(), batch, WEIGHTS)


def test_the_velocity_loss_does_not_see_kept_places():
    predicted, velocity = torch.randn(2, 5, 3), torch.randn(2, 5, 3)
    weight = torch.tensor([0.0, 1.0, 1.0, 0.0, 2.0])[None, :, None]
    changed = predicted.clone()
    changed[:, [0, 3]] += 100
    assert batch_error(changed, velocity, weight) == batch_error(predicted, velocity, weight)
    assert batch_error(predicted, velocity, 0 * weight) == 0


def test_the_velocity_loss_is_the_mean_squared_error_when_weights_are_equal():
    predicted, velocity = torch.randn(2, 5, 3), torch.randn(2, 5, 3)
    expected = torch.nn.functional.mse_loss(predicted, velocity)
    torch.testing.assert_close(batch_error(predicted, velocity, torch.full((1, 5, 1), 7.0)), expected)


def test_the_errors_of_parts_are_those_of_the_batch():
    predicted, velocity, weight = torch.randn(4, 5, 3), torch.randn(4, 5, 3), torch.rand(4, 5, 1)
    whole = example_errors(predicted, velocity, weight)
    parts = [example_errors(predicted[i : i + 2], velocity[i : i + 2], weight[i : i + 2]) for i in (0, 2)]
    torch.testing.assert_close(torch.cat(parts), whole)
    alone = [batch_error(*(x[i : i + 1] for x in (predicted, velocity, weight))) for i in range(4)]
    torch.testing.assert_close(whole, torch.stack(alone))
    assert example_errors(predicted, velocity, 0 * weight).abs().max() == 0


def test_a_perfect_face_mask_costs_nothing_and_its_inverse_costs_one():
    face = torch.tensor([[[0.0, 1.0], [1.0, 0.0]]])
    both = torch.stack([face, 1 - face], 1)
    assert face_mask_loss(both[:, :1], face) == 0
    assert face_mask_loss(both[:, 1:], face) == 1
    assert face_mask_loss(both, face) == 0.5


def test_dubbing_learns_sound_only_and_audio_driven_learns_video_only():
    model = tiny_model()
    dubbing, driven = (losses_of(clips_of(task), model) for task in (DUBBING, AUDIO_DRIVEN))
    assert dubbing["video"] == 0
    assert dubbing["audio"] > 0
    assert driven["audio"] == 0
    assert driven["video"] > 0


def test_kept_pixels_are_given_clean_at_time_0_and_count_for_nothing():
    clips, model = clips_of(), Zeros(tiny_model())
    around = torch.ones(clips.video.shape[0], *clips.video.shape[2:], dtype=torch.bool)
    around[:, 1:, :, :1] = False
    part = replace(clips, video_keep_mask=around)
    loss = losses_of(part, model)["video"]
    video, times, _ = model.given
    kept = around[:, None].expand_as(video)
    assert torch.equal(video[kept], clips.video[kept])
    assert torch.equal(times == 0, around)
    shifted = replace(part, video=torch.where(kept, clips.video + 5, clips.video))
    torch.testing.assert_close(losses_of(shifted, model)["video"], loss)
    assert loss > 0


def test_sound_counts_by_the_share_of_it_that_is_generated():
    torch.manual_seed(4)
    clips, model = clips_of(), Zeros(tiny_model())
    half = torch.arange(36) < torch.tensor([[18], [27]])
    whole = losses_of(replace(clips, audio=0 * clips.audio), model)["audio"]
    part = losses_of(replace(clips, audio=0 * clips.audio, audio_keep_mask=half), model)["audio"]
    # The error of zeros against noise is about 1 for every clip, whatever is kept of it.
    assert whole.item() == pytest.approx(1, abs=0.05)
    assert part.item() == pytest.approx((1 / 2 + 1 / 4) / 2, abs=0.03)


class Zeros(torch.nn.Module):
    """Predicts nothing, and notes what it was given."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    @property
    def config(self):
        return self.model.config

    def forward(self, video, audio, timesteps, conditions, kept):
        self.given = (video, timesteps[0], kept[0])
        output = self.model(video, audio, timesteps, conditions, kept)
        return replace(output, video=0 * output.video, audio=0 * output.audio)


def test_the_first_latent_is_a_condition_and_never_a_target():
    torch.manual_seed(3)
    clips, model = clips_of(), Zeros(tiny_model())
    model.requires_grad_(False)
    clips.video.requires_grad_()
    losses = losses_of(clips, model)
    video, times, kept = model.given
    assert torch.equal(video[:, :, 0], clips.video[:, :, 0])
    assert (times[:, 0] == 0).all()
    assert (times[:, 1:] > 0).all()
    assert kept[:, 0].all()
    assert not kept[:, 1:].any()
    (gradient,) = torch.autograd.grad(losses["video"], clips.video)
    assert gradient[:, :, 0].abs().max() == 0
    assert gradient[:, :, 1:].abs().min() > 0


def test_the_network_sees_the_mix_of_clean_data_and_noise_and_predicts_their_difference():
    clips = clips_of()
    batch = with_noise(clips, torch.tensor([0.25, 0.75]), own())

    class Knows(torch.nn.Module):
        config = TINY

        def forward(self, video, audio, timesteps, *_):
            for noisy, clean, noise, sigma in (
                (video[:, :, 1:], clips.video[:, :, 1:], batch.video_noise[:, :, 1:], batch.sigma.view(2, 1, 1, 1, 1)),
                (audio, clips.audio, batch.audio_noise, batch.sigma.view(2, 1, 1)),
            ):
                torch.testing.assert_close(noisy, (1 - sigma) * clean + sigma * noise)
            assert timesteps[1][:, 0].tolist() == [250, 750]
            return JointOutput(
                batch.video_noise - clips.video, batch.audio_noise - clips.audio, torch.zeros(2, 1, 3, 4)
            )

    losses = flow_matching_losses(Knows(), batch, replace(WEIGHTS, mask=0))
    assert losses["video"] == losses["audio"] == losses["loss"] == 0


def test_a_place_counts_one_more_for_each_weight_of_what_it_shows():
    torch.manual_seed(5)
    clips, model = clips_of(latent_frames=2), Zeros(tiny_model())
    shown = torch.zeros(2, 2, 2, 2)
    face, mouth = shown.clone(), shown.clone()
    face[:, :, 0], mouth[:, :, 0, 0] = 1, 1
    clips = replace(clips, face=face, mouth=mouth)
    batch = with_noise(clips, torch.full((2,), 0.5), own())
    errors = (batch.video_noise - clips.video)[:, :, 1].square().mean(1)  # (B, H, W)
    weight = torch.tensor([[7.0, 3.0], [1.0, 1.0]])
    expected = (errors * weight).sum((1, 2)).mean() / weight.sum()
    torch.testing.assert_close(flow_matching_losses(model, batch, WEIGHTS)["video"], expected)


def test_without_weights_every_place_counts_alike():
    torch.manual_seed(8)
    batch = with_noise(clips_of(), torch.full((2,), 0.5), own())
    error = (batch.video_noise - batch.clips.video)[:, :, 1:].square().mean()
    torch.testing.assert_close(flow_matching_losses(Zeros(tiny_model()), batch, LossWeights())["video"], error)


def test_the_loss_is_the_weighted_sum_of_its_parts_and_no_mask_is_learned_without_a_picture():
    torch.manual_seed(6)
    batch, model = with_noise(clips_of(), torch.full((2,), 0.5), own()), tiny_model()
    for weights in (WEIGHTS, LossWeights(), LossWeights(mask=3), LossWeights(mask=3, video=0.5)):
        losses = flow_matching_losses(model, batch, weights)
        parts = weights.video * losses["video"] + losses["audio"] + weights.mask * losses["mask"]
        torch.testing.assert_close(losses["loss"], parts)
    blind = replace(batch, clips=replace(batch.clips, has_picture=False))
    losses = flow_matching_losses(model, blind, LossWeights(mask=3))
    torch.testing.assert_close(losses["loss"], losses["video"] + losses["audio"])


def test_a_clips_tracks_have_its_noise_level_and_noise_of_their_own():
    torch.manual_seed(7)
    clips = clips_of()
    both = clips.audio.repeat_interleave(2, 0)
    conditions = replace(
        clips.conditions,
        speech_ids=clips.conditions.speech_ids.repeat_interleave(2, 0),
        speech_lengths=clips.conditions.speech_lengths.repeat_interleave(2, 0),
    )
    clips = replace(
        clips, audio=both, audio_keep_mask=clips.audio_keep_mask.repeat_interleave(2, 0), conditions=conditions
    )
    batch, heard = with_noise(clips, torch.tensor([0.25, 0.75]), own()), []
    model = tiny_model()
    model.register_forward_pre_hook(lambda _, given: heard.append((given[1], given[2][1])))
    flow_matching_losses(model, batch, WEIGHTS)
    ((noisy, times),) = heard
    assert times[:, 0].tolist() == [250, 250, 750, 750]
    sigma = batch.sigma.repeat_interleave(2).view(4, 1, 1)
    torch.testing.assert_close(noisy, (1 - sigma) * both + sigma * batch.audio_noise)
    assert (batch.audio_noise[0] - batch.audio_noise[1]).abs().mean() > 0.5


def test_a_token_has_the_mean_share_of_face_of_its_latent_pixels():
    face = torch.zeros(1, 1, 4, 4)
    face[0, 0, 0, 0], face[0, 0, 2:, 2:] = 1, 1
    assert token_shares(face, 2).tolist() == [[[0.25, 0, 0, 1]]]
    assert torch.equal(token_shares(face, 1).view(4, 4), face[0, 0])


def test_sound_without_a_picture_has_one_blank_kept_latent_and_no_interaction():
    clips = without_picture(clips_of())
    assert clips.video.shape == (2, 48, 1, 2, 2)
    assert clips.conditions.caption.shape == (2, 1, 64)
    assert not any(x.any() for x in (clips.video, clips.face, clips.mouth, clips.conditions.caption))
    assert clips.video_keep_mask.tolist() == [[True], [True]]
    assert clips.conditions.interaction is Interaction.OFF
    assert clips.conditions.reference_image is None
    assert not clips.has_picture
