"""Guidance learned in training: what the network ends at, and which clips are led away from which null pass."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.training_toys import TINY, ToyClips, tiny_model
from uniavgen_core.config import GuidanceConfig, Interaction
from uniavgen_core.diffusion.guidance import GuidancePlan, NullPass, guide
from uniavgen_core.diffusion.schedule import release_sigmas
from uniavgen_core.model.joint import JointOutput
from uniavgen_core.training.batch_part import Part
from uniavgen_core.training.learned_guidance import GuidedBatches, GuidedLosses, stage_objective
from uniavgen_core.training.task_sampling import TaskConfig, TaskLosses

TASKS = TaskConfig(joint=1, dubbing=1, audio_driven=1, interaction_off=0.5)
SCALES = GuidanceConfig(1.5, 2.0, skip_layer=None)
PLAN = GuidancePlan.of(SCALES, release_sigmas(50))


def batches(sampler=TASKS, count=60):
    made = GuidedBatches(ToyClips(), sampler, PLAN, 0)
    return [made[Part(step, 0, 2)] for step in range(count)]


class Answer(torch.nn.Module):
    """A network that gives one answer with texts, which is trained, and another without, which is not."""

    config = TINY

    def __init__(self, batch):
        super().__init__()
        sizes = (batch.clips.video, batch.clips.audio)
        self.cond = torch.nn.ParameterList([torch.zeros_like(size) for size in sizes])
        self.null = [torch.randn_like(size) for size in sizes]

    def forward(self, video, audio, timesteps, conditions, keep):
        del video, audio, timesteps, keep
        answer = self.cond if conditions.caption.any() else self.null
        return JointOutput(*answer, torch.zeros(2, 1, 3, 4))


def test_the_network_ends_at_what_guidance_makes_of_the_true_velocity():
    batch = next(one for one in batches(TaskConfig()) if one.null is not None)
    batch = replace(batch, clips=replace(batch.clips, video_keep_mask=torch.zeros_like(batch.clips.video_keep_mask)))
    model, losses = Answer(batch), GuidedLosses(TaskConfig(), SCALES)
    optimizer = torch.optim.SGD(model.parameters(), 500.0)
    for _ in range(250):
        optimizer.zero_grad()
        losses(model, batch, 0.0)["loss"].backward()
        optimizer.step()
    true = (batch.video_noise - batch.clips.video, batch.audio_noise - batch.clips.audio)
    for found, velocity, null, scale in zip(model.cond, true, model.null, (1.5, 2.0), strict=True):
        torch.testing.assert_close(found.detach(), guide(velocity, null, scale), rtol=1e-3, atol=1e-3)


def test_scales_of_one_teach_what_training_without_guidance_does():
    batch, model = next(one for one in batches() if one.null is not None), tiny_model()
    plain = TaskLosses(TASKS)(model, batch, 0.0)
    guided = GuidedLosses(TASKS, GuidanceConfig(1.0, 1.0))(model, batch, 0.0)
    assert {name: value.item() for name, value in guided.items()} == {name: plain[name].item() for name in plain}
    led = GuidedLosses(TASKS, SCALES)(model, batch, 0.0)
    assert led["loss"] != plain["loss"]


def test_clips_have_texts_and_a_null_pass_without_or_neither():
    made = batches(replace(TASKS, null_with_off=0.5))
    textless = [one for one in made if one.null is None]
    assert 0 < len(textless) < 0.3 * len(made)
    assert not any(one.clips.conditions.caption.any() for one in textless)
    for one in made:
        if one.null is not None:
            assert one.clips.conditions.caption.flatten(1).any(1).all()
            assert not one.null.caption.any()


def test_the_null_pass_is_that_of_a_run_at_every_noise_level_of_a_batch():
    seen = set()
    for one in batches():
        passes = {PLAN.null_pass(sigma) for sigma in one.sigma.tolist()}
        assert len(passes) == 1
        if one.null is not None:
            early = passes == {NullPass.WITHOUT_INTERACTION}
            assert one.null.interaction is (Interaction.OFF if early else one.clips.conditions.interaction)
            seen |= passes
    assert seen == {NullPass.WITHOUT_INTERACTION, NullPass.WITHOUT_TEXT}


def test_a_batch_in_parts_is_the_batch():
    data = stage_objective(ToyClips(), TASKS, 3, SCALES).data
    for step in range(12):
        whole, parts = data[Part(step, 0, 4)], [data[Part(step, first, 2)] for first in (0, 2)]
        np.testing.assert_array_equal(whole.sigma, torch.cat([part.sigma for part in parts]))
        assert torch.equal(whole.video_noise, torch.cat([part.video_noise for part in parts]))
        assert {(part.task, part.null is None) for part in parts} == {(whole.task, whole.null is None)}


@pytest.mark.parametrize("sampler", [TASKS, replace(TASKS, audio_alone=True)])
def test_the_null_pass_takes_no_gradient(sampler):
    batch, model = next(one for one in batches(sampler) if one.null is not None), tiny_model()
    seen = []
    model.register_forward_hook(lambda *_: seen.append(torch.is_grad_enabled()))
    GuidedLosses(sampler, SCALES)(model, batch, 0.0)["loss"].backward()
    assert seen == [True, False]
