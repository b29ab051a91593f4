"""The flow, its schedule, its solver and its guidance, against known answers."""

import math

import pytest
import torch

from uniavgen_core.config import AfterShare, GuidanceConfig
from uniavgen_core.diffusion.flow import denoised_to_velocity, mix, velocity_to_denoised
from uniavgen_core.diffusion.guidance import GuidancePlan, NullPass, guide
from uniavgen_core.diffusion.sampler import sample_euler
from uniavgen_core.diffusion.schedule import boundary_sigma, release_sigmas, shift_sigma


@pytest.fixture
def pair():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 3, 4, generator=generator), torch.randn(2, 3, 4, generator=generator)


# The flow.


def test_a_mix_runs_straight_from_clean_to_noise(pair):
    clean, noise = pair
    assert torch.equal(mix(clean, noise, torch.zeros(())), clean)
    torch.testing.assert_close(mix(clean, noise, torch.ones(())), noise)
    torch.testing.assert_close(mix(clean, noise, torch.tensor(0.25)), 0.75 * clean + 0.25 * noise)


def test_every_clip_of_a_batch_mixes_at_its_own_level(pair):
    clean, noise = pair
    sigma = torch.tensor([0.1, 0.9])[:, None, None]
    mixed = mix(clean, noise, sigma)
    torch.testing.assert_close(mixed[1], 0.1 * clean[1] + 0.9 * noise[1])


@pytest.mark.parametrize("sigma", [0.01, 0.5, 1.0])
def test_the_true_velocity_leads_back_to_clean_and_to_itself(pair, sigma):
    clean, noise = pair
    noisy, velocity = mix(clean, noise, torch.tensor(sigma)), noise - clean
    torch.testing.assert_close(velocity_to_denoised(noisy, velocity, sigma), clean)
    back = denoised_to_velocity(noisy, velocity_to_denoised(noisy, velocity, sigma), sigma)
    torch.testing.assert_close(back, velocity, atol=1e-4, rtol=1e-4)


# The schedule.


@pytest.mark.parametrize("steps", [1, 2, 7, 50])
@pytest.mark.parametrize("shift", [0.5, 1.0, 5.0])
def test_noise_levels_fall_from_one_to_zero(steps, shift):
    sigmas = release_sigmas(steps, shift)
    assert len(sigmas) == steps + 1
    assert sigmas[0] == 1
    assert sigmas[-1] == 0
    assert (sigmas.diff() < 0).all()


def test_levels_before_the_shift_are_even_down_to_a_thousandth():
    sigmas = release_sigmas(10, shift=1.0)
    torch.testing.assert_close(sigmas[:-1], torch.linspace(1, 0.001, 10))


def test_a_shift_follows_its_formula_and_keeps_the_ends():
    assert shift_sigma(torch.tensor([0.0, 0.5, 1.0]), 5.0).tolist() == pytest.approx([0, 2.5 / 3, 1])
    levels = torch.linspace(0, 1, 9)
    torch.testing.assert_close(shift_sigma(shift_sigma(levels, 3.0), 1 / 3), levels)


@pytest.mark.parametrize(("steps", "shift"), [(0, 5.0), (-3, 5.0), (5, 0.0), (5, -1.0)])
def test_impossible_schedules_are_refused(steps, shift):
    with pytest.raises(ValueError, match=r"is -?\d"):
        release_sigmas(steps, shift)


@pytest.mark.parametrize("steps", [1, 5, 6, 50])
def test_a_boundary_lies_between_its_two_steps(steps):
    sigmas = release_sigmas(steps)
    for above in range(steps + 1):
        boundary = boundary_sigma(sigmas, above)
        assert not (sigmas[:-1] == boundary).any(), "rounding must not decide"
        assert [bool(sigma > boundary) for sigma in sigmas[:-1]] == [step < above for step in range(steps)]


# The solver.


def test_one_step_of_a_straight_flow_arrives(pair):
    clean, noise = pair
    (result,) = sample_euler(lambda x, sigma: (clean,), (noise,), torch.tensor([1.0, 0.0]))  # noqa: ARG005
    torch.testing.assert_close(result, clean)


def test_euler_converges_to_the_known_end_of_a_curved_flow():
    """Data that is a Gaussian of width s: the velocity is linear, and noise z ends at s z exactly."""
    width = 0.5
    noise = torch.linspace(-2, 2, 9, dtype=torch.float64)

    def denoise(latents, sigma):
        variance = (1 - sigma) ** 2 * width**2 + sigma**2
        return tuple(x * (1 - sigma) * width**2 / variance for x in latents)

    errors = []
    for steps in (50, 100, 200):
        (end,) = sample_euler(denoise, (noise,), torch.linspace(1, 0, steps + 1))
        errors.append((end - width * noise).abs().max().item())
    assert errors[0] < 0.05
    assert errors[1] / errors[2] == pytest.approx(2, rel=0.15)  # first order
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.2)


def test_latents_move_together_but_not_into_each_other():
    pull = torch.tensor([2.0]), torch.tensor([3.0, 4.0])
    seen = []

    def denoise(latents, sigma):
        seen.append((sigma, [x.clone() for x in latents]))
        return pull

    start = torch.zeros(1), torch.zeros(2)
    end = sample_euler(denoise, start, torch.tensor([1.0, 0.5, 0.0]))
    assert [x.tolist() for x in end] == [[2.0], [3.0, 4.0]]
    assert [sigma for sigma, _ in seen] == [1.0, 0.5]
    assert seen[1][1][1].tolist() == [1.5, 2.0]


def test_every_step_is_reported_and_a_raise_ends_the_run():
    class StopError(Exception):
        pass

    reported = []

    def on_step(step, latents):
        reported.append((step, latents[0].item()))
        if step == 1:
            raise StopError

    with pytest.raises(StopError):
        sample_euler(lambda x, sigma: (x[0] * 0,), (torch.ones(1),), torch.tensor([1.0, 0.75, 0.5, 0.0]), on_step)  # noqa: ARG005
    assert reported == [(0, 0.75), (1, 0.5)]


# Guidance.


def test_guidance_is_a_line_through_null_and_cond(pair):
    cond, null = pair
    torch.testing.assert_close(guide(cond, null, 1), cond)
    assert torch.equal(guide(cond, null, 0), null)
    torch.testing.assert_close(guide(cond, null, 3), 3 * cond - 2 * null)
    torch.testing.assert_close(guide(cond, cond, 7), cond)


def null_passes(config, steps):
    """Null pass at the noise level of every step of a run."""
    sigmas = release_sigmas(steps)
    plan = GuidancePlan.of(config, sigmas)
    return [plan.null_pass(sigma) for sigma in sigmas[:-1].tolist()]


@pytest.mark.parametrize("steps", [1, 2, 5, 6, 50])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 1.0])
def test_the_first_share_of_the_steps_compares_without_interaction(steps, share):
    early = math.floor(share * steps)
    expected = [NullPass.WITHOUT_INTERACTION] * early + [NullPass.WITHOUT_TEXT] * (steps - early)
    assert null_passes(GuidanceConfig(modality_aware_share=share), steps) == expected


def test_the_noise_level_alone_decides_in_whatever_order_a_sampler_asks():
    sigmas = release_sigmas(4)
    plan = GuidancePlan.of(GuidanceConfig(), sigmas)
    asked = [plan.null_pass(sigma) for sigma in (sigmas[3].item(), sigmas[0].item(), sigmas[2].item(), plan.boundary)]
    late, early = NullPass.WITHOUT_TEXT, NullPass.WITHOUT_INTERACTION
    assert asked == [late, early, late, early]
    assert sigmas[2] < plan.boundary < sigmas[1]


def test_the_paper_leaves_late_steps_unguided():
    expected = [NullPass.WITHOUT_INTERACTION] * 2 + [NullPass.NONE] * 2
    assert null_passes(GuidanceConfig(after_share=AfterShare.NONE), 4) == expected


def test_scales_of_one_need_no_null_pass_but_one_such_scale_does():
    assert set(null_passes(GuidanceConfig(video_scale=1, audio_scale=1), 4)) == {NullPass.NONE}
    for one in (GuidanceConfig(video_scale=1, audio_scale=2), GuidanceConfig(video_scale=3, audio_scale=1)):
        assert null_passes(one, 2) == [NullPass.WITHOUT_INTERACTION, NullPass.WITHOUT_TEXT]
