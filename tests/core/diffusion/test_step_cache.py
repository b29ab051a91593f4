"""The step cache on flows with a known answer."""

import pytest
import torch

from uniavgen_core.diffusion.sampler import sample_euler
from uniavgen_core.diffusion.schedule import release_sigmas
from uniavgen_core.diffusion.step_cache import Known, StepCache, StepCacheConfig, estimated_changes, extrapolated

NOTHING_KEPT = (None, None)


def curved(strength):
    """A velocity for each modality that turns while the noise falls, each by its own strength."""

    def velocity(noisy, sigma):
        return tuple(torch.cos(s * x + sigma) for s, x in zip(strength, noisy, strict=True))

    return velocity


def run(config, velocity, steps=40, weights=NOTHING_KEPT, seed=0):
    """Sample with a cache; returns the result and the cache."""
    generator = torch.Generator().manual_seed(seed)
    noise = (torch.randn(1, 4, 3, generator=generator), torch.randn(1, 6, generator=generator))
    cache = StepCache(config)

    def denoise(noisy, sigma):
        found = cache.velocity("pass", noisy, sigma, weights, lambda: velocity(noisy, sigma))
        return tuple(x - sigma * v for x, v in zip(noisy, found, strict=True))

    return sample_euler(denoise, noise, release_sigmas(steps)), cache


def skipped(thresholds, velocity, **options):
    return run(StepCacheConfig(thresholds), velocity, **options)[1].skipped


def test_thresholds_of_zero_give_the_result_without_a_cache_bit_for_bit():
    velocity = curved((1.0, 2.0))
    cached, cache = run(StepCacheConfig((0.0, 0.0)), velocity)
    plain, _ = run(StepCacheConfig((9.0, 9.0), start=0.0, stop=0.0), velocity)
    assert cache.skipped == 0
    assert cache.calls == 40
    assert all(map(torch.equal, cached, plain))


def test_more_is_skipped_under_higher_thresholds_and_the_result_stays_near():
    velocity = curved((1.0, 1.0))
    exact, _ = run(StepCacheConfig((0.0, 0.0)), velocity)
    counts, errors = [], []
    for threshold in (0.0, 0.03, 0.1, 0.3, 1.0):
        made, cache = run(StepCacheConfig((threshold, threshold)), velocity)
        counts.append(cache.skipped)
        errors.append(max(float((a - b).abs().max()) for a, b in zip(made, exact, strict=True)))
    assert counts == sorted(counts)
    assert len(set(counts)) >= 4
    assert errors[1] < 0.01
    assert errors[1] < errors[-1]


@pytest.mark.parametrize("turning", [0, 1])
def test_each_modality_is_held_to_its_own_threshold(turning):
    strength = [0.0, 0.0]
    strength[turning] = 3.0
    loose, tight = [1.0, 1.0], [1.0, 1.0]
    tight[turning], loose[1 - turning] = 0.02, 0.02
    velocity = curved(tuple(strength))
    assert skipped(tuple(tight), velocity) < skipped(tuple(loose), velocity)


@pytest.mark.parametrize("kept", [0, 1])
def test_a_threshold_of_zero_runs_every_pass_of_a_modality_that_is_kept_whole_too(kept):
    shapes = ((1, 1, 1), (1, 1))
    weights = tuple(torch.zeros(shape) if part == kept else torch.ones(shape) for part, shape in enumerate(shapes))
    thresholds = tuple(0.0 if part == kept else 9.0 for part in range(2))
    assert skipped(thresholds, curved((1.0, 1.0)), weights=weights) == 0


def test_by_default_a_pass_that_would_change_by_a_tenth_is_run_and_one_that_changes_by_a_hundredth_is_not():
    for changed, expected in ((0.1, 0), (0.01, 1)):
        cache = StepCache(StepCacheConfig((0.05, 0.05)))
        points = [(torch.tensor([x]), torch.tensor([x])) for x in (1.0, 1.0 + changed, 1.0 + 2 * changed)]
        for sigma, point in zip((0.9, 0.8, 0.7), points, strict=True):
            cache.velocity("pass", point, sigma, NOTHING_KEPT, lambda point=point: point)
        assert cache.skipped == expected


@pytest.mark.parametrize(("level", "expected"), [(0.71, 0), (0.7, 1), (0.5, 1), (0.3, 1), (0.29, 0)])
def test_passes_are_skipped_between_start_and_stop_both_included(level, expected):
    cache = StepCache(StepCacheConfig((9.0, 9.0), start=0.7, stop=0.3))
    points = [(torch.tensor([x]), torch.tensor([x])) for x in (1.0, 1.1, 1.2)]
    for sigma, point in zip((0.9, 0.8, level), points, strict=True):
        cache.velocity("pass", point, sigma, NOTHING_KEPT, lambda point=point: point)
    assert cache.skipped == expected


@pytest.mark.parametrize("silent", [0, 1])
def test_one_threshold_of_zero_is_enough_to_run_every_pass(silent):
    thresholds = [5.0, 5.0]
    thresholds[silent] = 0.0
    assert skipped((5.0, 5.0), curved((1.0, 1.0))) > 10
    assert skipped(tuple(thresholds), curved((1.0, 1.0))) == 0


def test_what_is_kept_does_not_count():
    """Only the second half of the video is generated; the first half turns, and is not looked at."""

    def velocity(noisy, sigma):
        video, audio = (torch.ones_like(x) for x in noisy)
        video[:, :2] = torch.cos(3 * noisy[0][:, :2] + 3 * sigma)
        return video, audio

    generated = torch.tensor([0.0, 0.0, 1.0, 1.0])[None, :, None]
    assert skipped((0.02, 0.02), velocity) < 15
    assert skipped((0.02, 0.02), velocity, weights=(generated, None)) > 30


def test_a_modality_that_is_kept_whole_leaves_the_choice_to_the_other():
    weights = (torch.zeros(1, 4, 1), None)
    assert skipped((0.05, 5.0), curved((3.0, 0.1)), weights=weights) > 20
    assert skipped((5.0, 0.01), curved((0.1, 3.0)), weights=weights) < 10


def test_passes_of_one_step_have_caches_of_their_own():
    cache = StepCache(StepCacheConfig((1.0, 1.0)))
    noisy = (torch.ones(2), torch.ones(3))
    for step in range(6):
        level = 1 - step / 10
        moved = tuple(x * level for x in noisy)
        for name, value in (("cond", 2.0), ("null", -3.0)):
            given = cache.velocity(name, moved, level, NOTHING_KEPT, lambda v=value, m=moved: tuple(x + v for x in m))
            assert torch.allclose(given[0], moved[0] + value, atol=1e-5), (name, step)
    assert cache.skipped == 2 * 4
    assert cache.calls == 2 * 6


def test_nothing_is_skipped_outside_the_noise_levels():
    seen = []

    def velocity(noisy, sigma):
        seen.append(sigma)
        return tuple(torch.ones_like(x) for x in noisy)

    run(StepCacheConfig((1.0, 1.0), start=0.9, stop=0.5), velocity)
    levels = release_sigmas(40)[:-1].tolist()
    assert [level for level in levels if not 0.5 <= level <= 0.9] == [s for s in seen if not 0.5 <= s <= 0.9]
    assert not [s for s in seen if 0.5 <= s <= 0.9]


def test_velocities_are_continued_along_a_straight_line():
    cache = StepCache(StepCacheConfig((1.0, 1.0)))
    line = lambda sigma: (torch.full((2,), 1 + sigma), torch.full((3,), 4 - 2 * sigma))  # noqa: E731
    for sigma in (0.9, 0.8, 0.7, 0.55):
        noisy = (torch.full((2,), sigma), torch.full((3,), sigma))
        found = cache.velocity(0, noisy, sigma, NOTHING_KEPT, lambda s=sigma: line(s))
        assert all(torch.allclose(*pair) for pair in zip(found, line(sigma), strict=True))
    assert cache.skipped == 2


def test_the_estimate_is_the_change_where_velocities_depend_on_latents_alone_and_evenly():
    *before, now = [(torch.tensor([x, -x]), torch.tensor([3 * x])) for x in (1.0, 1.5, 2.25)]
    known = [Known(point, sigma, tuple(2 * x for x in point)) for sigma, point in zip((0.9, 0.8), before, strict=True)]
    assert estimated_changes(known, now, NOTHING_KEPT) == pytest.approx([0.75 / 1.5] * 2)
    assert extrapolated([known[1], known[1]], 0.1) == known[1].velocity


def test_still_latents_whose_velocity_turns_give_no_measure_and_are_computed():
    cache = StepCache(StepCacheConfig((9.0, 9.0)))
    noisy = (torch.ones(2), torch.ones(2))
    for sigma in (0.9, 0.7, 0.5):
        cache.velocity(0, noisy, sigma, NOTHING_KEPT, lambda s=sigma: (torch.full((2,), s), torch.full((2,), s)))
    assert cache.skipped == 0


@pytest.mark.parametrize(
    ("values", "named"),
    [
        (((-0.1, 0.1),), "-0.1"),
        (((0.1, -0.1),), "-0.1"),
        (((0.1, 0.1), 0.2, 0.6), "0.6"),
        (((0.1, 0.1), 1.0, -0.2), "-0.2"),
        (((0.1, 0.1), 1.1, 0.0), "1.1"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(values, named):
    with pytest.raises(ValueError, match=named):
        StepCacheConfig(*values)
