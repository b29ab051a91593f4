"""Trajectory distillation: on flows whose answer is known, the target is that answer."""

from dataclasses import replace

import pytest
import torch

from tests.training_toys import ToyClips, tiny_model
from uniavgen_core.config import GuidanceConfig
from uniavgen_core.diffusion.sampler import sample_euler
from uniavgen_core.training.batch_part import Part
from uniavgen_core.training.distill.consistency import Segment, consistency_target
from uniavgen_core.training.distill.distill_config import DistillConfig, ModalityConfig
from uniavgen_core.training.distill.distill_objective import distill_objective
from uniavgen_core.training.lora import LoraPlan, add_lora
from uniavgen_core.training.task_sampling import TaskConfig

MEAN, DEVIATION = 1.5, 0.4


def spread(values):
    return (values[:, None],)


def deviation(sigma):
    """Deviation of normal data, mixed with noise."""
    return ((1 - sigma) ** 2 * DEVIATION**2 + sigma**2).sqrt()


def flowed(x, sigma, later):
    """Exact end of the flow of normal data from one level to another."""
    return (1 - later) * MEAN + deviation(later) / deviation(sigma) * (x - (1 - sigma) * MEAN)


def normal_velocity(latents, sigma):
    """Velocity of the flow of normal data: the mean of noise - clean, given the noisy value."""
    (x,), sigma = latents, sigma[:, None]
    share = (x - (1 - sigma) * MEAN) / deviation(sigma) ** 2
    return (sigma * share - MEAN - (1 - sigma) * DEVIATION**2 * share,)


def point_velocity(latents, sigma):
    """Velocity of the flow of data that are all the same, whose paths are straight."""
    return ((latents[0] - MEAN) / sigma[:, None],)


def exact_mean_velocity(end):
    def student(latents, sigma):
        gap = (end - sigma)[:, None]
        moved = (flowed(latents[0], sigma[:, None], end[:, None]) - latents[0]) / gap
        return (torch.where(gap == 0, torch.zeros(()).double(), moved),)

    return student


def errors_of(steps, passes):
    """Distance of the target to the exact mean velocity at every level, given a student that is right."""
    config = DistillConfig(passes=passes, teacher_steps=steps)
    level = torch.arange(steps)
    segment = Segment(*(part.double() for part in Segment.of(config, level)))
    noisy = torch.linspace(-2, 2, steps).double()[:, None]
    got = consistency_target(normal_velocity, exact_mean_velocity(segment.end), (noisy,), segment, spread)
    want = (flowed(noisy, segment.sigma[:, None], segment.end[:, None]) - noisy) / (segment.end - segment.sigma)[
        :, None
    ]
    return (got[0] - want).abs()


def test_segments_end_at_the_students_noise_levels_and_steps_at_the_next_level():
    config = DistillConfig(passes=4, teacher_steps=8)
    segment = Segment.of(config, torch.arange(8))
    assert segment.end.tolist() == [level for level in config.sigmas[1:].tolist() for _ in range(2)]
    assert segment.after.tolist() == config.levels[1:].tolist()
    assert segment.sigma.tolist() == config.levels[:-1].tolist()
    assert config.sigmas.tolist() == pytest.approx([1, 15 / 16, 5 / 6, 5 / 8, 0])


def test_on_straight_paths_the_target_is_the_teachers_own_velocity():
    config = DistillConfig(passes=2, teacher_steps=8)
    segment = Segment(*(part.double() for part in Segment.of(config, torch.arange(7))))  # after the last is 0
    noisy = (torch.linspace(-2, 2, 7).double()[:, None],)
    got = consistency_target(point_velocity, point_velocity, noisy, segment, spread)
    torch.testing.assert_close(got[0], point_velocity(noisy, segment.sigma)[0])


@pytest.mark.parametrize("passes", [1, 4])
def test_with_a_right_student_the_target_tends_to_the_exact_flow_as_fast_as_eulers_steps(passes):
    coarse, fine = errors_of(48, passes).mean(), errors_of(192, passes).mean()
    assert fine < coarse / 3
    assert errors_of(960, passes).max() < 0.02


def test_the_students_segments_sampled_by_euler_follow_the_teachers_flow():
    config = DistillConfig(passes=4, teacher_steps=48)
    noise, sigmas = torch.linspace(-2, 2, 9).double()[:, None], config.sigmas.double()

    def denoise(noisy, sigma):
        at = (sigmas - sigma).abs().argmin()
        end = sigmas[at + 1].expand(9)
        velocity = exact_mean_velocity(end)(noisy, torch.full((9,), sigma).double())
        return (noisy[0] - sigma * velocity[0],)

    (got,) = sample_euler(denoise, (noise,), sigmas)
    torch.testing.assert_close(got, flowed(noise, torch.ones(1).double(), torch.zeros(1).double()))


TASKS = TaskConfig(interaction_off=0.0)
PLAIN = DistillConfig(guidance=GuidanceConfig(video_scale=1.0, audio_scale=1.0, skip_layer=None))


def losses_of(config, model=None, step=0):
    objective = distill_objective(ToyClips(), TASKS, config, seed=1)
    if model is None:
        model = tiny_model()
        add_lora(model, LoraPlan(interactions=True, rank=2), config.adapters)
    return objective.losses(model, objective.data[Part(step, 0, 2)], 0.0)


def test_a_student_that_has_learned_nothing_is_right_where_the_teachers_step_ends_a_segment():
    """There the target is the teacher's own velocity, and without guidance that is the student's."""
    assert losses_of(replace(PLAIN, passes=4, teacher_steps=4))["loss"] < 1e-10
    assert losses_of(replace(PLAIN, passes=1, teacher_steps=48))["loss"] > 1e-6
    guided = replace(PLAIN, passes=4, teacher_steps=4, guidance=GuidanceConfig(3.0, 2.0, skip_layer=None))
    assert losses_of(guided)["loss"] > 1e-4


def test_each_modalitys_weight_scales_its_loss_alone():
    guided = DistillConfig(guidance=GuidanceConfig(skip_layer=None))
    plain, heavy = (
        losses_of(replace(guided, video=ModalityConfig(weight=weight), audio=ModalityConfig(weight=0.5)))
        for weight in (1.0, 3.0)
    )
    video, audio = plain["student_video_joint"], plain["student_audio_joint"]
    torch.testing.assert_close(plain["loss"], video + 0.5 * audio)
    torch.testing.assert_close(heavy["loss"], 3 * video + 0.5 * audio)


def test_the_gradient_reaches_the_students_adapters_and_nothing_else():
    model, config = tiny_model(), DistillConfig(guidance=GuidanceConfig(skip_layer=None))
    add_lora(model, LoraPlan(interactions=True, rank=2))
    losses_of(config, model)["loss"].backward()
    moved = {name for name, value in model.named_parameters() if value.grad is not None and value.grad.abs().max() > 0}
    assert moved
    assert all(".lora_B.default." in name for name in moved)  # lora_B is still zero, so that lora_A has no gradient
    assert {name.split(".")[0] for name in moved} == {"blocks", "audio_blocks", "a2v_blocks", "v2a_blocks"}


def test_kept_places_teach_nothing():
    config = DistillConfig(guidance=GuidanceConfig(skip_layer=None))
    objective = distill_objective(ToyClips(), TaskConfig(joint=0.0, dubbing=1.0), config, seed=1)
    batch = objective.data[Part(0, 0, 2)]
    model = tiny_model()
    add_lora(model, LoraPlan(interactions=True, rank=2))
    losses = objective.losses(model, batch, 0.0)
    assert batch.clips.video_keep_mask.all()
    assert set(losses) == {"loss", "student_audio_dubbing"}
    torch.testing.assert_close(losses["loss"], losses["student_audio_dubbing"])
