"""The whole network: what an output depends on, what switches turn off, and what runs."""

from copy import copy
from dataclasses import replace

import pytest
import torch

from tests.toys import TINY, Clip, random_model, with_variant
from uniavgen_core.config import Interaction


def changed(before, after):
    return (before - after).abs().max().item() > 1e-9


def altered(clip, **inputs):
    """The clip with some inputs replaced."""
    other = copy(clip)
    other.inputs = clip.inputs | inputs
    return other


def told(clip, **conditions):
    """The clip with some conditions replaced."""
    other = copy(clip)
    other.conditions = replace(clip.conditions, **conditions)
    return other


def noise_like(tensor):
    return torch.randn(tensor.shape, generator=torch.Generator().manual_seed(9), dtype=tensor.dtype)


@pytest.fixture(scope="module")
def model():
    return random_model()


def test_clips_of_a_batch_do_not_meet(model):
    kept = (
        torch.tensor([[True, False, False, False], [True, True, True, False]]),
        torch.arange(26) < torch.tensor([[0], [9]]),
    )
    clip = Clip(batch=2, voice=4, kept=kept)
    together, swapped = clip.run(model), clip.reordered([1, 0]).run(model)
    for name in ("video", "audio", "face_masks"):
        torch.testing.assert_close(getattr(swapped, name), getattr(together, name).flip(0))
    alone = clip.reordered([1]).run(model)
    torch.testing.assert_close(alone.video, together.video[1:])
    torch.testing.assert_close(alone.audio, together.audio[1:])


@pytest.mark.parametrize("interaction", Interaction)
def test_a_direction_carries_one_branch_into_the_other_exactly_when_it_is_on(model, interaction):
    clip = Clip(interaction=interaction)
    plain = clip.run(model)
    other_sound = altered(clip, audio=noise_like(clip.audio)).run(model)
    other_picture = altered(clip, video=noise_like(clip.video)).run(model)
    assert changed(plain.video, other_sound.video) == interaction.audio_to_video
    assert changed(plain.audio, other_picture.audio) == interaction.video_to_audio
    assert changed(plain.audio, other_sound.audio)
    assert changed(plain.video, other_picture.video)


@pytest.mark.parametrize("interaction", Interaction)
def test_both_directions_read_the_states_from_before_either_update(interaction):
    """After one interaction a direction's update is the same whether the other one is on or off."""
    config = replace(TINY, num_layers=1, num_interactions=1)
    small, clip = random_model(config), Clip(config=config)
    both = clip.run(small)
    one = told(clip, interaction=interaction).run(small)
    if interaction.audio_to_video:
        torch.testing.assert_close(one.video, both.video)
    if interaction.video_to_audio:
        torch.testing.assert_close(one.audio, both.audio)


def interaction_updates(clip, model):
    """Change of both streams by the first interaction: video (B, T * N, D) and audio (B, S, D), references included."""
    left, entered = [], []
    hooks = [block[0].register_forward_hook(lambda _, __, out: left.append(out)) for block in branches(model)]
    hooks += [
        block[1].register_forward_pre_hook(lambda _, given: entered.append(given[0].tokens))
        for block in branches(model)
    ]
    clip.run(model)
    for hook in hooks:
        hook.remove()
    return (after - before for before, after in zip(left, entered, strict=True))


def branches(model):
    return model.blocks, model.audio_blocks


def modules_that_ran(clip, model, wanted):
    """Names of the network's modules that ran, among those that ``wanted`` says yes to, and the pass's result."""
    ran = []
    hooks = [
        part.register_forward_hook(lambda *_, name=name: ran.append(name))
        for name, part in model.named_modules()
        if wanted(name)
    ]
    output = clip.run(model)
    for hook in hooks:
        hook.remove()
    return ran, output


def test_reference_tokens_take_no_part_in_the_interaction(model):
    clip = Clip(voice=4)
    video, audio = interaction_updates(clip, model)
    assert video[:, :6].abs().max() == 0
    assert audio[:, :4].abs().max() == 0
    assert video[:, 6:].abs().amax(-1).min() > 0
    assert audio[:, 4:].abs().amax(-1).min() > 0


def test_kept_tokens_get_no_update_and_others_the_same_as_ever(model):
    kept = torch.tensor([[True, False, True, False]]), torch.arange(26)[None] % 3 == 0
    clip = Clip(voice=4, kept=kept)
    video, audio = interaction_updates(clip, model)
    free_video, free_audio = interaction_updates(altered(clip, keep_masks=(None, None)), model)
    still = kept[0].repeat_interleave(6, dim=1)
    assert video[:, 6:][still].abs().max() == 0
    assert audio[:, 4:][kept[1]].abs().max() == 0
    torch.testing.assert_close(video[:, 6:][~still], free_video[:, 6:][~still])
    torch.testing.assert_close(audio[:, 4:][~kept[1]], free_audio[:, 4:][~kept[1]])


def pixels(values, clip):
    """Values of latents, (B, T), repeated for every latent pixel, (B, T, H, W)."""
    return values[:, :, None, None].expand(-1, -1, *clip.size)


def test_times_of_pixels_that_are_alike_within_latents_equal_times_of_latents(model):
    kept = torch.tensor([[True, False, False, True], [True, True, False, False]])
    clip = Clip(batch=2, voice=4, kept=(kept, None))
    per_pixel = altered(
        clip, timesteps=(pixels(clip.times[0], clip), clip.times[1]), keep_masks=(pixels(kept, clip), None)
    )
    for name in ("video", "audio", "face_masks"):
        torch.testing.assert_close(getattr(per_pixel.run(model), name), getattr(clip.run(model), name))


def test_tokens_kept_within_a_latent_get_no_update_and_others_the_same_as_ever(model):
    kept = torch.zeros(1, 4, 4, 6, dtype=torch.bool)
    kept[:, 1:3, :, :2] = kept[:, 2, 2:, 4:] = True
    clip = Clip(kept=(kept, None))
    clip.inputs["timesteps"] = (pixels(clip.times[0], clip), clip.times[1])
    video, _ = interaction_updates(clip, model)
    free, _ = interaction_updates(altered(clip, keep_masks=(None, None)), model)
    still = kept[:, :, ::2, ::2].flatten(1)
    assert video[:, 6:][still].abs().max() == 0
    torch.testing.assert_close(video[:, 6:][~still], free[:, 6:][~still])


def test_a_time_of_its_own_changes_a_token_and_the_modulation_of_no_other():
    """One layer without attention between tokens: only the token whose time differs may change."""
    alone = random_model(replace(TINY, num_layers=1, num_interactions=1))
    for attention in (alone.blocks[0].self_attn, alone.blocks[0].cross_attn):
        attention.o.weight.data.zero_()
    clip = Clip(interaction=Interaction.OFF, image=False)
    times = pixels(clip.times[0], clip).clone()
    other = times.clone()
    other[:, 2, 2:, 4:] = 0
    before, after = (altered(clip, timesteps=(x, clip.times[1])).run(alone).video for x in (times, other))
    differs = (before - after).abs().amax((0, 1)) > 1e-9
    assert differs[2, 2:, 4:].all()
    assert differs.sum() == 4


def test_kept_tokens_are_seen_by_the_other_branch(model):
    kept = torch.ones(1, 4, dtype=torch.bool), torch.ones(1, 26, dtype=torch.bool)
    for given, seen, interaction in (
        ("audio", "video", Interaction.AUDIO_TO_VIDEO), ("video", "audio", Interaction.VIDEO_TO_AUDIO)
    ):  # fmt: skip
        mask = (None, kept[1]) if given == "audio" else (kept[0], None)
        clip = Clip(kept=mask, interaction=interaction)
        other = altered(clip, **{given: noise_like(clip.inputs[given])})
        assert changed(getattr(clip.run(model), seen), getattr(other.run(model), seen))


def test_references_change_the_result_but_are_not_part_of_it(model):
    clip = Clip(voice=4)
    plain = clip.run(model)
    assert plain.video.shape == clip.video.shape
    assert plain.audio.shape == clip.audio.shape
    voice = told(clip, reference_audio=noise_like(clip.conditions.reference_audio), interaction=Interaction.OFF)
    image = told(clip, reference_image=noise_like(clip.conditions.reference_image), interaction=Interaction.OFF)
    off = told(clip, interaction=Interaction.OFF).run(model)
    assert changed(voice.run(model).audio, off.audio)
    assert not changed(voice.run(model).video, off.video)
    assert changed(image.run(model).video, off.video)
    assert not changed(image.run(model).audio, off.audio)


def test_the_reference_image_counts_as_clean_and_stands_before_the_clip(model):
    """A clip whose first latent is clean at time zero is a shorter clip with that latent as its reference."""
    clip = Clip(interaction=Interaction.OFF)
    longer = altered(
        told(clip, reference_image=None),
        video=torch.cat((clip.conditions.reference_image, clip.video), dim=2),
        timesteps=(torch.cat((torch.zeros(1, 1), clip.times[0]), dim=1), clip.times[1]),
    )
    torch.testing.assert_close(longer.run(model).video[:, :, 1:], clip.run(model).video)


def test_a_reference_voice_stands_before_the_clip_at_its_noisiest_time(model):
    clip = Clip(voice=4, interaction=Interaction.OFF)
    times = clip.times[1]
    longer = altered(
        told(clip, reference_audio=None),
        audio=torch.cat((clip.conditions.reference_audio, clip.audio), dim=1),
        timesteps=(clip.times[0], torch.cat((times.max().expand(1, 4), times), dim=1)),
    )
    torch.testing.assert_close(longer.run(model).audio[:, 4:], clip.run(model).audio)


def test_every_latent_and_every_mel_frame_has_a_time_of_its_own(model):
    clip = Clip(interaction=Interaction.OFF, image=False)
    seen = []
    heads = model.head, model.head_audio
    hooks = [head.register_forward_pre_hook(lambda _, given: seen.append(given[1])) for head in heads]
    clip.run(model)
    video_times, audio_times = (time.clone() for time in clip.times)
    video_times[0, 2] += 1
    audio_times[0, 7] += 1
    altered(clip, timesteps=(video_times, audio_times)).run(model)
    for hook in hooks:
        hook.remove()
    for before, after, place in ((seen[0], seen[2], 2), (seen[1], seen[3], 7)):
        assert (before != after).any(-1)[0].nonzero().flatten().tolist() == [place]


@pytest.mark.parametrize("skipped", [0, 1, 2])
def test_a_skipped_layer_is_left_out_with_its_interaction(model, skipped):
    clip = Clip(skip_layer=skipped)
    ran, output = modules_that_ran(clip, model, lambda name: name.count(".") == 1 and "blocks" in name.split(".")[0])
    layers = [layer for layer in range(3) if layer != skipped]
    expected = [f"{kind}.{layer}" for layer in layers for kind in ("blocks", "audio_blocks")]
    expected += [f"{kind}.{layer // 2}" for layer in layers if layer % 2 == 0 for kind in ("a2v_blocks", "v2a_blocks")]
    assert sorted(ran) == sorted(expected)
    assert output.face_masks.shape[1] == sum(layer % 2 == 0 for layer in layers)


@pytest.mark.parametrize("interaction", Interaction)
def test_a_direction_that_is_off_does_none_of_its_work(model, interaction):
    def of_a_direction(name):
        return name.startswith(("a2v_blocks", "v2a_blocks")) and name.endswith((".q", ".k", ".v", ".o"))

    ran, _ = modules_that_ran(Clip(interaction=interaction), model, of_a_direction)
    assert any(name.startswith("a2v") for name in ran) == interaction.audio_to_video
    assert any(name.startswith("v2a") for name in ran) == interaction.video_to_audio


def test_face_masks_are_weights_and_come_even_when_nothing_is_exchanged(model):
    for interaction in (Interaction.BOTH, Interaction.OFF):
        masks = Clip(interaction=interaction).run(model).face_masks
        assert masks.shape == (1, 2, 4, 6)
        assert masks.min() > 0
        assert masks.max() < 1
        assert masks.std() > 0


def test_the_papers_mask_head_does_not_know_the_time():
    config = replace(TINY, num_layers=1, num_interactions=1)
    for timed in (True, False):
        small = random_model(replace(config, variant=with_variant(timed_mask_head=timed).variant))
        head = small.a2v_blocks[0].mask_head
        video = noise_like(torch.empty(1, 24, 24, dtype=torch.float64))
        early, late = (head(video, torch.full((1, 4, 24), value, dtype=torch.float64)) for value in (0.0, 1.0))
        assert changed(early, late) == timed


def test_captions_are_filled_with_zeros_that_count(model):
    clip = Clip()
    caption = clip.conditions.caption
    filled = torch.cat((caption, torch.zeros(1, 2, 6, dtype=caption.dtype)), dim=1)
    plain = clip.run(model)
    assert not changed(told(clip, caption=filled).run(model).video, plain.video)
    assert changed(told(clip, caption=caption[:, :2]).run(model).video, plain.video)
    overlong = torch.cat((filled, noise_like(filled)), dim=1)
    assert not changed(told(clip, caption=overlong).run(model).video, plain.video)


def test_only_the_characters_within_the_length_are_read(model):
    clip = Clip(interaction=Interaction.OFF)
    ids = torch.tensor([[3, 1, 4, 1, 5, -1, -1]])
    heads = []
    for length in (3, 7):
        heads.append(told(clip, speech_ids=ids, speech_lengths=torch.tensor([length])).run(model).audio)
    everything = told(clip, speech_ids=ids, speech_lengths=None).run(model).audio
    assert changed(heads[0], heads[1])
    assert not changed(heads[1], everything)


@pytest.mark.parametrize("line", [{"position_offset": 4.0}, {"position_scale": 3.0}])
def test_characters_lie_on_the_configured_line_of_mel_frames(model, line):
    clip = Clip(interaction=Interaction.OFF, skip_layer=None)
    moved = random_model(replace(TINY, text=replace(TINY.text, **line)))
    assert changed(clip.run(moved).audio, clip.run(model).audio)
    assert not changed(clip.run(moved).video, clip.run(model).video)


def test_moving_the_voice_and_its_text_together_changes_only_absolute_places(model):
    """A shift of the characters equals a shift of the sound the other way: attention sees distances."""
    shifted = random_model(replace(TINY, text=replace(TINY.text, position_offset=3.0)))
    clip = Clip(interaction=Interaction.OFF, tokens=1)
    voiced = told(altered(clip, timesteps=(clip.times[0], clip.times[1] * 0)), speech_lengths=torch.tensor([1]))
    torch.testing.assert_close(voiced.run(shifted).audio, voiced.run(model).audio)
