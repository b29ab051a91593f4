"""What the decoder learns from: the network's estimates of toons, beside the true pictures."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from toon import MODEL
from toon.clips.world import LIVELY, STEADY
from toon.training.codec_stages import DECODER_ALONE
from toon.training.diagonal_start import new_model
from toon.training.estimated_clips import (
    EYE_WEIGHT,
    MOUTH_WEIGHT,
    TURNS,
    EstimatedBatch,
    EstimatedBatches,
    draw_level,
    estimate_loss,
    estimated_clips,
)
from uniavgen_core.bundled.bundled_files import BUNDLED_MODEL, load_codec
from uniavgen_core.checkpoint.load_weights import load_model
from uniavgen_core.training.batch_part import Part

SEED, OF_A_KIND = 9_500_000, 2


@pytest.fixture(scope="module", autouse=True)
def small_batches():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("toon.training.estimated_clips.BATCH", OF_A_KIND)
        yield


@pytest.fixture(scope="module")
def clips():
    model, count = load_model(BUNDLED_MODEL, dtype=torch.float32), OF_A_KIND * len(TURNS)
    return estimated_clips(model, load_codec(), count, SEED, STEADY)


@torch.no_grad()
def decoded(latents):
    return ((load_codec().decode(latents.float()) + 1) * 127.5).round().clamp(0, 255).permute(0, 2, 3, 4, 1).numpy()


def test_estimates_are_of_the_clip_beside_which_they_lie_and_as_far_off_as_the_networks_are(clips):
    some = [0, 3, 5, 6, 7, 10]  # The sixth and seventh are a pair, cut in two.
    pictures = {name: decoded(getattr(clips, name)[some]) for name in ("coded", "estimated")}
    errors = {name: np.abs(made - clips.frames[some]).mean((1, 2, 3, 4)) for name, made in pictures.items()}
    others = np.abs(pictures["estimated"] - np.roll(clips.frames[some], 1, 0)).mean((1, 2, 3, 4))
    assert (errors["coded"] < errors["estimated"]).all()
    assert (errors["estimated"] < 0.25 * others).all()


def test_what_is_kept_is_not_estimated(clips):
    off = (clips.estimated != clips.coded).any(1)
    first, others = (
        part.flatten(1).float().mean(1).unflatten(0, (-1, OF_A_KIND)).mean(1) for part in (off[:, 0], off[:, 1:])
    )
    for kind, kept, made in zip(TURNS, first, others, strict=True):
        assert (kept > 0) == (kind == "relip"), kind  # Nothing of the first picture is kept at new lips alone.
        assert 0 < made < 0.5 if "relip" in kind else made > 0.9, kind


def test_new_lips_are_estimated_beside_eyes_that_are_the_clips_own(clips):
    unknown = (clips.weights == 0).any((1, 2, 3)).reshape(-1, OF_A_KIND).any(1)
    lips = np.array(["relip" in kind for kind in TURNS])
    assert not unknown[lips].any()
    assert unknown[~lips].any()  # Not all: at lower levels the blinks are known.


def test_eyes_and_mouths_weigh_more_and_eyes_that_may_blink_otherwise_count_only_where_the_latents_are_true(clips):
    assert set(np.unique(clips.weights)) == {0, 1, EYE_WEIGHT, MOUTH_WEIGHT}
    assert 0.02 < (clips.weights != 1).mean() < 0.2
    batch = EstimatedBatches(clips, 0)[Part(0, 0, 256)]
    unknown = (batch.weights == 0).flatten(1).any(1)
    estimated = [
        any(torch.equal(latent, row) for row in clips.estimated.float().transpose(1, 2).flatten(0, 1))
        for latent in batch.latents[unknown]
    ]
    assert 0 < len(estimated) < 200
    assert all(estimated)


def test_a_chunk_is_drawn_with_its_own_frames(clips):
    batch = EstimatedBatches(clips, 1)[Part(0, 0, 24)]
    made = load_codec().decoder(batch.latents).detach()
    own = (made - batch.chunks).abs().mean((1, 2, 3, 4))
    others = batch.chunks.roll(1, 0)
    unlike = (batch.chunks - others).abs().mean((1, 2, 3, 4)) > 0.1
    assert unlike.sum() > 16
    assert (own < 0.3 * (made - others).abs().mean((1, 2, 3, 4)))[unlike].all()


def test_pixels_without_weight_cost_nothing_and_eyes_and_mouths_cost_more():
    chunks = torch.zeros(1, 4, 3, 32, 32)
    weights = torch.ones(1, 4, 1, 32, 32)
    weights[..., :8], weights[..., -8:] = 0, EYE_WEIGHT

    def loss(columns):
        off = chunks.clone()
        off[..., columns] = 0.2
        batch = EstimatedBatch(torch.zeros(1, 48, 2, 2), chunks, weights)
        return float(estimate_loss(off, batch, replace(DECODER_ALONE, edge_weight=0.0, detail_weight=0.0)))

    assert loss(slice(0, 8)) == 0
    assert loss(slice(24, 32)) > 1.5 * loss(slice(8, 16)) > 0


def test_where_chance_decides_levels_stay_below_the_one_at_which_it_is_still_open():
    rng = np.random.default_rng(0)
    assert max(draw_level(LIVELY, rng) for _ in range(200)) < 0.85
    levels = [draw_level(STEADY, rng) for _ in range(200)]
    assert 0.5 < levels.count(1.0) / 200 < 0.9


def test_the_same_seed_has_the_same_clips():
    model = new_model(MODEL, 0)
    first, again = (estimated_clips(model, load_codec(), 4, SEED, STEADY) for _ in range(2))
    assert torch.equal(first.estimated, again.estimated)
    np.testing.assert_array_equal(first.frames, again.frames)
