"""A user's face masks and several audio tracks: which sound reaches which face, and the reverse."""

from dataclasses import replace

import pytest
import torch

from tests.toys import TINY, Clip, random_model, with_variant
from uniavgen_core.config import Interaction
from uniavgen_core.model.face_mask import FaceSteering, SteeringMode

ONE_INTERACTION = replace(TINY, num_layers=1, num_interactions=1)
LEFT = (slice(None), slice(None), slice(None), slice(None), slice(0, 2))  # latent columns 0 and 1: token column 0


def left_mask(clip, tracks=1):
    """Track 0 speaks through the left third of the picture, track 1 through the rest."""
    mask = torch.zeros(1, tracks, *clip.video.shape[2:], dtype=torch.float64)
    mask[LEFT] = 1
    if tracks == 2:
        mask[:, 1] = 1 - mask[:, 0]
    return mask


def steered(clip, mask, **options):
    clip.conditions = replace(clip.conditions, steering=FaceSteering(mask, **options))
    return clip


def two_tracks(clip):
    """The clip with a second, different sound and transcript."""
    generator = torch.Generator().manual_seed(3)
    other = torch.randn(clip.audio.shape, generator=generator, dtype=clip.dtype)
    clip.inputs["audio"] = torch.cat((clip.audio, other))
    clip.inputs["timesteps"] = (clip.times[0], clip.times[1].repeat(2, 1))
    texts = {name: getattr(clip.conditions, name).repeat(2, *[1] * extra) for name, extra in
             (("speech_ids", 1), ("speech_lengths", 0))}  # fmt: skip
    texts["speech_ids"] = torch.stack((texts["speech_ids"][0], texts["speech_ids"][0].flip(0)))
    clip.conditions = replace(clip.conditions, **texts)
    return clip


@pytest.mark.parametrize("mode", SteeringMode)
def test_a_mode_combines_the_masks_as_it_says(mode):
    predicted = torch.tensor([[0.2], [0.9], [0.5]])[None]
    user = torch.tensor([1.0, 0.3, 0.0]).reshape(1, 1, 3, 1, 1)
    combined = {
        SteeringMode.REPLACE: [1.0, 0.3, 0.0],
        SteeringMode.MULTIPLY: [0.2, 0.27, 0.0],
        SteeringMode.ADD: [1.0, 1.0, 0.5],
    }[mode]
    got = FaceSteering(user, mode).steer(predicted, 1)
    torch.testing.assert_close(got.flatten(), torch.tensor(combined))
    half = FaceSteering(user, mode, strength=0.5).steer(predicted, 1)
    torch.testing.assert_close(half, (predicted + got) / 2)
    assert torch.equal(FaceSteering(user, mode, strength=0.0).steer(predicted, 1), predicted)


def test_a_token_has_the_mean_weight_of_its_latent_pixels():
    mask = torch.arange(8.0).reshape(1, 1, 1, 2, 4) / 8
    got = FaceSteering(mask).steer(torch.zeros(1, 2, 1), 2)
    torch.testing.assert_close(got.flatten(), torch.tensor([(0 + 1 + 4 + 5) / 32, (2 + 3 + 6 + 7) / 32]))


@pytest.mark.parametrize("variant", [{}, {"mask_after_output": True, "residual_in_output": True}])
def test_sound_moves_only_the_face_under_the_mask(variant):
    clip = Clip(config=with_variant(ONE_INTERACTION, **variant), interaction=Interaction.AUDIO_TO_VIDEO)
    model = random_model(clip.config)
    steered(clip, left_mask(clip))
    plain = clip.run(model).video
    clip.inputs["audio"] = clip.audio + 1
    moved = (clip.run(model).video - plain).abs()
    assert moved[..., :2].min() > 1e-9
    assert moved[..., 2:].max() < 1e-12


def test_sound_is_made_only_from_the_face_under_the_mask():
    clip = Clip(config=ONE_INTERACTION, interaction=Interaction.VIDEO_TO_AUDIO)
    model, seen = random_model(clip.config), []
    model.v2a_blocks[0].register_forward_pre_hook(lambda _, args: seen.append(args[2]))
    steered(clip, left_mask(clip)).run(model)
    columns = seen[0].reshape(clip.latents, 2, 3)
    assert torch.equal(columns, torch.tensor([1.0, 0, 0], dtype=columns.dtype).expand_as(columns))


def test_a_mask_of_ones_in_multiply_mode_leaves_the_prediction():
    clip = Clip()
    model = random_model()
    plain = clip.run(model)
    ones = torch.ones_like(left_mask(clip))
    same = steered(clip, ones, mode=SteeringMode.MULTIPLY).run(model)
    torch.testing.assert_close(same.video, plain.video)
    torch.testing.assert_close(same.audio, plain.audio)


def test_each_track_moves_its_own_face_and_no_other():
    clip = two_tracks(Clip(config=ONE_INTERACTION, interaction=Interaction.AUDIO_TO_VIDEO))
    model = random_model(clip.config)
    steered(clip, left_mask(clip, tracks=2))
    plain = clip.run(model).video
    for track, moving, still in ((0, slice(0, 2), slice(2, 6)), (1, slice(2, 6), slice(0, 2))):
        audio = clip.inputs["audio"].clone()
        audio[track] += 1
        moved = (model(conditions=clip.conditions, **{**clip.inputs, "audio": audio}).video - plain).abs()
        assert moved[..., moving].min() > 1e-9
        assert moved[..., still].max() < 1e-12


def test_a_track_sounds_as_it_would_alone_with_its_own_mask():
    """Tracks meet only through the picture, so with the picture closed to sound each is on its own."""
    clip = two_tracks(Clip(interaction=Interaction.VIDEO_TO_AUDIO))
    model, mask = random_model(), left_mask(clip, tracks=2)
    together = steered(clip, mask).run(model).audio
    for track in range(2):
        texts = {name: getattr(clip.conditions, name)[track : track + 1] for name in ("speech_ids", "speech_lengths")}
        alone = replace(clip.conditions, steering=FaceSteering(mask[:, track : track + 1]), **texts)
        inputs = {
            **clip.inputs,
            "audio": clip.inputs["audio"][track : track + 1],
            "timesteps": (clip.times[0], clip.times[1]),
        }
        torch.testing.assert_close(model(conditions=alone, **inputs).audio, together[track : track + 1])


def test_without_a_users_mask_both_tracks_share_the_predicted_one():
    clip = two_tracks(Clip(config=ONE_INTERACTION, interaction=Interaction.AUDIO_TO_VIDEO))
    model, seen = random_model(clip.config), []
    model.a2v_blocks[0].register_forward_pre_hook(lambda _, args: seen.append(args[2]))
    output = clip.run(model)
    expected = output.face_masks[0, 0].flatten()
    assert seen[0].shape[-1] == 2
    assert all(torch.equal(weights, expected) for weights in seen[0][0].unbind(-1))


def test_characters_are_read_where_they_are_expected():
    clip = Clip(interaction=Interaction.OFF)
    model = random_model()
    own = clip.run(model).audio
    text = clip.config.text
    spaced = torch.arange(7.0)[None] * text.position_scale + text.position_offset
    same = Clip(interaction=Interaction.OFF)
    same.conditions = replace(clip.conditions, speech_positions=spaced)
    torch.testing.assert_close(same.run(model).audio, own)
    same.conditions = replace(clip.conditions, speech_positions=spaced + 9)
    assert (same.run(model).audio - own).abs().max() > 1e-6
