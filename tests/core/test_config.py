"""Configurations, unit arithmetic, and starting weights."""

import json
from dataclasses import replace

import pytest
import torch

from tests.toys import TINY, Clip, random_model
from uniavgen_core.config import (
    PAPER,
    RELEASE,
    RELEASED,
    TOON,
    AfterShare,
    Alignment,
    BranchConfig,
    GuidanceConfig,
    Interaction,
    ModelConfig,
    Placement,
    Variant,
    from_dict,
    to_dict,
)
from uniavgen_core.model.initialize import initialize
from uniavgen_core.model.joint import JointModel
from uniavgen_core.shapes import AVShape, latent_frames_of, mel_frames_of, video_frames_in, video_frames_of


@pytest.mark.parametrize("config", [RELEASED, TOON, TINY, PAPER, RELEASE, GuidanceConfig(modality_aware_share=0.25)])
def test_a_configuration_survives_json(config):
    assert from_dict(type(config), json.loads(json.dumps(to_dict(config)))) == config


def test_values_fall_on_a_base():
    said = {"variant": {"v2a_alignment": "sti"}, "text": {"caption_length": 9}}
    changed = from_dict(ModelConfig, said, base=RELEASED)
    assert changed.variant == Variant(v2a_alignment=Alignment.TEMPORAL)
    assert changed.text.caption_length == 9
    assert changed.text.caption_dim == RELEASED.text.caption_dim
    assert changed.video == RELEASED.video


def test_the_single_alignment_of_earlier_files_is_that_of_both_directions():
    both = Variant(a2v_alignment=Alignment.GLOBAL, v2a_alignment=Alignment.GLOBAL, half_window_frames=1)
    assert from_dict(Variant, {"alignment": "sgi", "half_window_frames": 1}) == both
    assert from_dict(ModelConfig, {"variant": {"alignment": "sgi"}}, base=RELEASED).variant.v2a_alignment.value == "sgi"


@pytest.mark.parametrize(("said", "after"), [(True, AfterShare.TEXT_CFG), (False, AfterShare.NONE)])
def test_guidance_of_earlier_files_is_read(said, after):
    earlier = {"video_scale": 4.0, "modality_aware_share": 0.25, "text_guidance_after": said, "skip_layer": 2}
    now = GuidanceConfig(video_scale=4.0, modality_aware_share=0.25, after_share=after, skip_layer=2)
    assert from_dict(GuidanceConfig, json.loads(json.dumps(earlier))) == now


def test_unknown_fields_are_named():
    with pytest.raises(ValueError, match=r"GuidanceConfig has no field named scale, strength\."):
        from_dict(GuidanceConfig, {"strength": 1, "scale": 2})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BranchConfig(10, 4, 3), "10 .* 3 heads"),
        (lambda: BranchConfig(9, 4, 3), "even width"),
        (lambda: BranchConfig(8, 4, 0), "0 heads"),
        (lambda: GuidanceConfig(modality_aware_share=1.5), r"1\.5"),
        (lambda: GuidanceConfig(modality_aware_share=-0.1), r"-0\.1"),
        (lambda: Variant(half_window_frames=-1), "-1"),
        (lambda: AVShape(700, 704, 81), "width is 700; .* 704"),
        (lambda: AVShape(704, 0, 81), "height is 0"),
        (lambda: AVShape(704, 704, 80), "video_frames is 80"),
        (lambda: AVShape(704, 704, 1), "video_frames is 1"),
    ],
)
def test_impossible_values_are_refused_by_value(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_every_second_layer_exchanges_while_there_are_modules():
    assert [RELEASED.interaction_of(layer) for layer in (0, 1, 2, 11, 28, 29)] == [0, None, 1, None, 14, None]
    assert [TINY.interaction_of(layer) for layer in range(7)] == [0, None, 1, None, None, None, None]


def test_placements_name_the_layers_that_exchange():
    def serving(placement, count):
        config = replace(RELEASED, num_layers=6, num_interactions=count, placement=placement)
        return {config.interaction_of(layer): layer for layer in range(6) if config.interaction_of(layer) is not None}

    assert serving(Placement.INTERLEAVED, 3) == {0: 0, 1: 2, 2: 4}
    assert serving(Placement.FIRST, 3) == {0: 0, 1: 1, 2: 2}
    assert serving(Placement.LAST, 3) == {0: 3, 1: 4, 2: 5}
    assert serving(Placement.FIRST, 6) == serving(Placement.LAST, 6) == {layer: layer for layer in range(6)}


def test_directions_are_those_of_their_names():
    switches = {interaction: (interaction.audio_to_video, interaction.video_to_audio) for interaction in Interaction}
    assert switches == {
        Interaction.BOTH: (True, True),
        Interaction.AUDIO_TO_VIDEO: (True, False),
        Interaction.VIDEO_TO_AUDIO: (False, True),
        Interaction.OFF: (False, False),
    }


# Unit arithmetic.


def test_a_five_second_clip_has_the_published_sizes():
    shape = AVShape.from_seconds(1280, 736, 5.0625)
    assert (shape.video_frames, shape.latent_frames, shape.mel_frames, shape.seconds) == (81, 21, 506, 5.0625)
    assert shape.video == (1, 48, 21, 46, 80)
    assert shape.audio == (1, 1, 506, 80)


@pytest.mark.parametrize("frames", range(1, 30))
def test_latents_hold_all_frames_and_no_latent_is_spare(frames):
    latents = latent_frames_of(frames)
    assert video_frames_of(latents) >= frames
    assert latents == 1 or video_frames_of(latents - 1) < frames


@pytest.mark.parametrize("seconds", [0.01, 0.3, 1.0, 2.5, 5.0625, 7.77])
def test_a_length_in_seconds_becomes_the_nearest_clip(seconds):
    frames = video_frames_in(seconds)
    assert frames % 4 == 1
    assert frames >= 5
    assert abs(frames / 16 - seconds) <= 2 / 16 or frames == 5
    assert mel_frames_of(frames) == int(frames / 16 * 100)


# Starting weights.


@pytest.fixture(scope="module")
def started():
    torch.manual_seed(0)
    model = JointModel(TINY)
    for parameter in model.parameters():
        torch.nn.init.constant_(parameter, float("nan"))
    initialize(model)
    return model


def test_every_weight_gets_a_value(started):
    kept = {name for name, parameter in started.named_parameters() if not parameter.isfinite().all()}
    assert all("norm" in name for name in kept)  # These keep torch's own starting values.


def test_an_untrained_network_predicts_nothing():
    torch.manual_seed(0)
    model = JointModel(TINY)
    initialize(model)
    output = Clip(dtype=torch.float32).run(model)
    assert output.video.abs().max() == 0
    assert output.audio.abs().max() == 0


def test_untrained_interactions_leave_the_branches_as_they_are():
    model = random_model(dtype=torch.float32)
    heads = {name: value.clone() for name, value in model.state_dict().items()}
    initialize(model)
    crossing = {name: value for name, value in model.state_dict().items() if name.startswith(("a2v", "v2a"))}
    model.load_state_dict(heads | crossing)
    on, off = (Clip(dtype=torch.float32, interaction=on).run(model) for on in (Interaction.BOTH, Interaction.OFF))
    assert torch.equal(on.video, off.video)
    assert torch.equal(on.audio, off.audio)
    assert crossing["a2v_blocks.0.q.weight"].abs().max() > 0
