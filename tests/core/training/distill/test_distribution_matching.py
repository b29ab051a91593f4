"""Distribution matching: the gradient vanishes where distributions agree and points to the teacher's elsewhere."""

from dataclasses import replace

import pytest
import torch

from tests.core.training.distill.test_consistency import PLAIN, TASKS
from tests.training_toys import ToyClips, clips_of, tiny_model
from uniavgen_core.config import GuidanceConfig
from uniavgen_core.diffusion.flow import mix
from uniavgen_core.diffusion.sampler import sample_lcm
from uniavgen_core.tasks import DUBBING
from uniavgen_core.training.active_adapter import active_adapter
from uniavgen_core.training.batch_part import Part
from uniavgen_core.training.distill.clip_flow import ClipFlow
from uniavgen_core.training.distill.distill_batches import Turn
from uniavgen_core.training.distill.distill_config import CRITIC, Method
from uniavgen_core.training.distill.distill_objective import distill_objective
from uniavgen_core.training.distill.distribution_matching import generated_places, matching_gradient
from uniavgen_core.training.lora import LoraPlan, add_lora, is_lora

CONFIG = replace(PLAIN, method=Method.DISTRIBUTION, critic_steps=2)
GUIDED = replace(CONFIG, guidance=GuidanceConfig(skip_layer=None))
STUDENTS = 2
"""First step of the student, after two of the critic."""


def denoised_normal(noisy, sigma, mean, deviation):
    """Mean of normal data, given their noisy values."""
    variance = (1 - sigma) ** 2 * deviation**2 + sigma**2
    return mean + (1 - sigma) * deviation**2 / variance * (noisy - (1 - sigma) * mean)


def gradient_between(student, teacher, sigma=0.7, count=4000):
    """Mean gradient, and mean gradient times sample, on normal samples of the student, with a critic that is right."""
    torch.manual_seed(0)
    sample = student[0] + student[1] * torch.randn(count, 8)
    noisy = mix(sample, torch.randn(count, 8), sigma)
    real, fake = (denoised_normal(noisy, sigma, *each) for each in (teacher, student))
    (gradient,) = matching_gradient((sample,), (real,), (fake,), (torch.ones(1),))
    return gradient.mean().item(), (gradient * (sample - student[0])).mean().item()


def test_the_gradient_vanishes_where_the_students_distribution_is_the_teachers():
    assert gradient_between((1.0, 0.5), (1.0, 0.5)) == (0.0, 0.0)


def test_a_step_against_the_gradient_moves_the_mean_to_the_teachers_and_widens_what_is_too_narrow():
    assert gradient_between((0.0, 0.5), (1.0, 0.5))[0] < -0.1
    assert gradient_between((1.0, 0.5), (0.0, 0.5))[0] > 0.1
    mean, width = gradient_between((1.0, 0.2), (1.0, 0.5))
    assert abs(mean) < 0.05
    assert width < -0.01
    assert gradient_between((1.0, 0.5), (1.0, 0.2))[1] > 0.01


def test_the_gradients_size_does_not_depend_on_how_large_the_values_are():
    torch.manual_seed(0)
    sample, real, fake = torch.randn(3, 2, 5).unbind()
    plain = matching_gradient((sample,), (real,), (fake,), (torch.ones(1),))
    large = matching_gradient((100 * sample,), (100 * real,), (100 * fake,), (torch.ones(1),))
    torch.testing.assert_close(large, plain)


def adapted(config=CONFIG, critic=0.0):
    model = tiny_model()
    add_lora(model, LoraPlan(interactions=True, rank=2), config.adapters)
    if critic:
        for name, parameter in model.named_parameters():
            if is_lora(name, CRITIC):
                torch.nn.init.normal_(parameter, std=critic)
    return model


def step(config, model, number):
    objective = distill_objective(ToyClips(), TASKS, config, seed=1)
    batch = objective.data[Part(number, 0, 2)]
    losses = objective.losses(model, batch, 0.0)
    losses["loss"].backward()
    return batch, losses, {name: value.grad for name, value in model.named_parameters() if value.grad is not None}


def test_a_critic_that_agrees_with_the_teacher_leaves_the_student_where_it_is():
    batch, losses, gradients = step(CONFIG, adapted(), STUDENTS)
    assert batch.turn is Turn.STUDENT
    assert losses["loss"] == 0
    assert all(not value.any() for value in gradients.values())
    _, losses, gradients = step(CONFIG, adapted(critic=0.3), STUDENTS)
    assert losses["loss"] > 0
    assert any(value.any() for value in gradients.values())
    assert step(GUIDED, adapted(), STUDENTS)[1]["loss"] > 0  # guidance is folded in


def test_steps_take_turns_and_each_moves_its_own_adapters_alone():
    turns = []
    for number in range(6):
        batch, losses, gradients = step(GUIDED, adapted(critic=0.3), number)
        turns.append(batch.turn)
        name = "default" if batch.turn is Turn.STUDENT else CRITIC
        assert all(is_lora(each, name) for each in gradients), number
        assert set(losses) == {"loss", *(f"{batch.turn.value}_{kind}_joint" for kind in ("video", "audio"))}
    assert turns == 2 * [Turn.CRITIC, Turn.CRITIC, Turn.STUDENT]


def test_the_pass_that_is_trained_starts_from_the_students_own_samples():
    objective = distill_objective(ToyClips(), TASKS, replace(CONFIG, passes=4), seed=1)
    batches = [objective.data[Part(number, 0, 2)] for number in range(12)]
    assert {batch.earlier for batch in batches} == {0, 1, 2, 3}
    batch = next(batch for batch in batches if batch.earlier == 3)
    model, sigmas = adapted(), objective.losses.config.sigmas
    flow = ClipFlow(model, batch.clips)
    with torch.no_grad():
        noisy, sigma = objective.losses.before_the_pass(flow, batch)
        own = iter([batch.noise(number) for number in range(1, 4)])

        def denoise(latents, at):
            at = torch.full((2,), at)
            return flow.denoised(flow.with_kept(latents), flow.velocity(latents, at), at)

        samples = sample_lcm(denoise, batch.noise(0), torch.cat((sigmas[:4], torch.zeros(1)))[:5], lambda: next(own))
        last = flow.denoised(noisy, flow.velocity(noisy, sigma), sigma)
    assert sigma.tolist() == [sigmas[3].item()] * 2
    for got, want in zip(flow.with_kept(last), flow.with_kept(samples), strict=True):
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)


def test_the_critic_learns_the_velocity_of_the_students_samples():
    """The loss is the distance to noise - sample: a critic that gives this exactly would have none."""
    model = adapted(critic=0.3)
    objective = distill_objective(ToyClips(), TASKS, CONFIG, seed=1)
    batch = objective.data[Part(0, 0, 2)]
    losses, flow = objective.losses, ClipFlow(model, batch.clips)
    with torch.no_grad():
        noisy, sigma = losses.before_the_pass(flow, batch)
        sample = flow.denoised(noisy, flow.velocity(noisy, sigma), sigma)
        level = losses.levels(batch)
        with active_adapter(model, CRITIC):
            predicted = flow.velocity(flow.noisy(sample, batch.noise(-1), level), level)
        error = ((predicted[1] - (batch.noise(-1)[1] - sample[1])) ** 2).mean()
    assert losses(model, batch, 0.0)["critic_audio_joint"].item() == pytest.approx(error.item(), rel=1e-4)


def test_what_is_kept_has_no_share_in_the_gradients_size():
    clips = clips_of(DUBBING)
    video, audio = generated_places(clips)
    assert not video.any()
    assert audio.all()
    sample = torch.ones(1, 4)
    kept = torch.tensor([[1.0, 1.0, 0.0, 0.0]])
    (half,) = matching_gradient((sample,), (sample - kept,), (sample,), (kept,))
    torch.testing.assert_close(half, kept)
