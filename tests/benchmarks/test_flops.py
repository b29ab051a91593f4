"""What one sampling step costs, counted on the meta device."""

from dataclasses import replace

import pytest

from benchmarks.flops import (
    LENGTHS,
    Pass,
    growth,
    growth_table,
    naive_model,
    pass_flops,
    pass_flops_by_parts,
    step_passes,
    step_tflop,
)
from tests.toys import TINY
from uniavgen_core.config import RELEASED, Interaction
from uniavgen_core.model.joint import JointModel
from uniavgen_core.shapes import AVShape

CONFIG = replace(TINY, latent_channels=48, num_layers=4)
CLIP = AVShape(64, 96, 41)


@pytest.fixture(scope="module")
def model():
    return JointModel(CONFIG)  # on the CPU: counting a small network there is quicker than on the meta device


def test_a_step_at_the_released_size_keeps_its_budget():
    assert step_tflop(1280, 736) <= 680
    assert step_tflop(736, 736) <= 320


def test_counting_by_parts_is_counting_the_whole(model):
    for one in (Pass(), Pass(Interaction.AUDIO_TO_VIDEO, skip_layer=3)):
        assert pass_flops_by_parts(CONFIG, CLIP, one, device="cpu") == pass_flops(model, CLIP, one)


def test_directions_cost_nothing_when_off_and_add_up_when_on(model):
    cost = {interaction: pass_flops(model, CLIP, Pass(interaction)) for interaction in Interaction}
    to_video = cost[Interaction.AUDIO_TO_VIDEO] - cost[Interaction.OFF]
    to_audio = cost[Interaction.VIDEO_TO_AUDIO] - cost[Interaction.OFF]
    assert min(to_video, to_audio) > 0
    assert cost[Interaction.BOTH] == cost[Interaction.OFF] + to_video + to_audio
    width, tokens = CONFIG.video.dim, CLIP.latent_frames * 2 * 3
    assert to_video >= CONFIG.num_interactions * 4 * tokens * width**2  # q and o of every video token


def test_the_naive_form_costs_more_and_the_same_whether_on_or_off():
    form = naive_model()
    cost = {on: pass_flops_by_parts(CONFIG, CLIP, Pass(on), form, "cpu") for on in (Interaction.BOTH, Interaction.OFF)}
    assert cost[Interaction.BOTH] == cost[Interaction.OFF]
    assert cost[Interaction.BOTH] > pass_flops_by_parts(CONFIG, CLIP, Pass(), device="cpu")


def test_a_step_is_the_releases_two_passes():
    cond, early, late = step_passes()
    assert (cond.interaction, cond.skip_layer) == (Interaction.BOTH, None)
    assert (early.interaction, early.skip_layer) == (Interaction.OFF, 11)
    assert (late.interaction, late.skip_layer) == (Interaction.BOTH, 11)


def test_the_interaction_costs_every_latent_the_same_from_five_seconds_to_sixty():
    counted = [growth(RELEASED, seconds, 736, 736) for seconds in LENGTHS[::2]]
    each = [one["interaction"] / one["latents"] for one in counted]
    assert max(each) <= 1.02 * min(each)
    assert [one["latents"] for one in counted] == [21, 81, 241]
    last = counted[-1]
    assert 0.6 * last["total"] < last["attention"] < last["total"] - last["interaction"]
    assert f"{each[-1] / 1e9:.1f}" in growth_table([last]).splitlines()[-1]


def test_the_squared_part_is_what_grows_with_the_square():
    short, double, long = (growth(CONFIG, seconds, 64, 96, "cpu") for seconds in (2, 4, 6))
    latents = [one["latents"] + 1 for one in (short, double, long)]
    rest = [one["total"] - one["attention"] for one in (short, double, long)]
    slopes = [(rest[i + 1] - rest[i]) / (latents[i + 1] - latents[i]) for i in (0, 1)]
    squares = [(one["attention"] / n**2) for one, n in zip((short, double, long), latents, strict=True)]
    assert squares[0] == squares[1] == squares[2]
    assert slopes[1] < 1.2 * slopes[0]  # sound attends to sound, too, which is short
