"""The best of several takes: seeds follow one another, the highest total wins, and the table shows all takes."""

import pytest
import torch

from tests.nodes.graphs import GUIDANCE


def best_take(studio, takes=3, **inputs):
    positive, negative, latent, _ = studio.task("joint", image=studio.image(), seconds=1.0).args
    with torch.inference_mode():
        return studio.nodes.best_take.BestTake.execute(
            studio.model, positive, negative, latent, studio.video_codec, studio.audio_codec, takes=takes, seed=7,
            steps=1, shift=5.0, **GUIDANCE, **inputs,
        )  # fmt: skip


@pytest.fixture
def totals(studio, monkeypatch):
    """Totals that takes are given, by seed."""
    node, values = studio.nodes.best_take, {7: 0.2, 8: 0.9, 9: 0.5}
    rate_take = node.rate_take
    monkeypatch.setattr(
        node,
        "rate_take",
        lambda seed, *rest: node.Take(seed, {"sync": values[seed]}, rate_take(seed, *rest).thumbnails),
    )
    return values


def test_the_take_with_the_highest_total_is_returned_with_its_seed(studio, totals):
    sampled, seed, table = best_take(studio).args
    assert seed == max(totals, key=totals.get)
    positive, negative, latent, _ = studio.task("joint", image=studio.image(), seconds=1.0).args
    alone = studio.nodes.samplers.Sampler.execute(
        studio.model, positive, negative, latent, seed=8, steps=1, shift=5.0, **GUIDANCE
    ).args[0]
    for part, other in zip(sampled["samples"].unbind(), alone["samples"].unbind(), strict=True):
        torch.testing.assert_close(part, other)
    assert table.shape[0] == 1
    assert table.shape[1] > 3 * 112


@pytest.mark.usefixtures("totals")
def test_the_best_is_sampled_again_with_more_steps_from_the_same_noise(studio, monkeypatch):
    calls, run_sampler = [], studio.nodes.best_take.run_sampler
    monkeypatch.setattr(studio.nodes.best_take, "run_sampler", lambda *a: (calls.append(a), run_sampler(*a))[1])
    best_take(studio, result="the best take, resampled with final_steps", final_steps=3)
    assert [(call[4], len(call[2]) - 1) for call in calls] == [(7, 1), (8, 1), (9, 1), (8, 3)]


def test_real_takes_are_rated_by_what_is_seen_and_heard(studio):
    _, seed, table = best_take(studio, takes=2).args
    assert seed in (7, 8)
    assert 0 < table.mean() < 1
