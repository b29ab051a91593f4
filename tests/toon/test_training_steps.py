"""First stages of the bundled model: what their steps draw and weigh, and what the recipe's command line asks for."""

import json

import numpy as np
import pytest
import torch

from tests.training_toys import ToyClips, clips_of, own, tiny_model
from toon import LIVELY_MODEL, MODEL
from toon.training import recipe_stages
from toon.training.__main__ import main, parse, recipe_of
from toon.training.diagonal_start import new_model, start_on_the_diagonal
from toon.training.first_stages import FirstStageConfig, WholeClips
from toon.training.recipe import Recipe
from uniavgen_core.bundled.bundled_files import BUNDLED_MODEL
from uniavgen_core.config import GuidanceConfig, Interaction
from uniavgen_core.layers.rope import frequencies
from uniavgen_core.tasks import AUDIO_DRIVEN, DUBBING, JOINT
from uniavgen_core.training.batch_part import Part
from uniavgen_core.training.checkpoints import Checkpoints
from uniavgen_core.training.flow_matching import (
    flow_matching_losses,
    with_noise,
)
from uniavgen_core.training.learned_guidance import GuidedLosses
from uniavgen_core.training.task_sampling import LogitNormal, TaskLosses, sample_sigmas, task_objective


def losses_of(clips, model=None, progress=0.5, **config):
    batch = with_noise(clips, sample_sigmas(LogitNormal(), own()), own(seed=2))
    return flow_matching_losses(model or tiny_model(), batch, FirstStageConfig(**config).loss_weights(progress))


def test_the_face_mask_loss_fades_out():
    torch.manual_seed(0)
    clips, model = clips_of(), tiny_model()
    start, end = (losses_of(clips, model, progress, mask_weight=10.0) for progress in (0.0, 1.0))
    torch.testing.assert_close(start["loss"] - end["loss"], 10 * start["mask"])
    torch.testing.assert_close(end["loss"], end["video"] + end["audio"])


def test_tasks_are_drawn_by_their_shares():
    config = FirstStageConfig(interaction_off=0.2, dubbing=0.1, audio_driven=0.3)
    random = np.random.default_rng(0)
    drawn = [config.sample_task(random, 0.0) for _ in range(4000)]
    off = [sample for sample in drawn if sample.interaction is Interaction.OFF]
    assert len(off) / 4000 == pytest.approx(0.2, abs=0.03)
    assert {(sample.task, sample.text_dropout) for sample in off} == {(JOINT, 0.5)}
    for task, share in ((DUBBING, 0.1), (AUDIO_DRIVEN, 0.3), (JOINT, 0.4)):
        found = [sample for sample in drawn if sample.task is task and sample not in off]
        assert len(found) / 4000 == pytest.approx(share, abs=0.03)
        assert {(sample.interaction, sample.text_dropout) for sample in found} == {(task.interaction, 0.1)}


def test_the_diagonal_start_makes_equal_positions_agree_most():
    model = tiny_model()
    start_on_the_diagonal(model)
    bias = model.audio_blocks[1].cross_attn.q.bias.view(2, -1, 2)
    speed = frequencies(bias.shape[1], torch.device("cpu"))
    chosen = (bias[..., 0] > 0).all(0)
    assert chosen.any()
    assert (bias[..., 1] == 0).all()
    agreement = torch.cos(speed[chosen] * torch.arange(60)[:, None]).sum(1)
    assert agreement.argmax() == 0
    assert torch.equal(model.audio_blocks[1].cross_attn.k.bias, bias.flatten())


def fake_clips():
    """Five clips of noise."""
    random = np.random.default_rng(7)
    face = random.random((5, 3, 2, 2))
    return WholeClips(
        {
            "mel": random.normal(size=(5, 24, 80)),
            "video": random.normal(size=(5, 48, 3, 2, 2)),
            "face": face,
            "mouth": face,
            "transcript": np.array(["red moon over"] * 5),
            "caption": np.array(["a toon"] * 5),
        }
    )


def losses_by_part(audio_alone, seed):
    """A first stage's losses of a part, of the tiny network."""
    objective = task_objective(fake_clips(), FirstStageConfig(text_dropout=0.5, audio_alone=audio_alone), seed)
    model = tiny_model()
    return lambda part: objective.losses(model, objective.data[part], part.progress)


@pytest.mark.parametrize("audio_alone", [True, False])
def test_a_step_in_parts_has_the_losses_of_the_whole_step(audio_alone):
    losses = losses_by_part(audio_alone, 3)
    for number in range(6):
        whole = losses(Part(number, 0, 4, 0.5))
        parts = [losses(Part(number, *part, 0.5)) for part in ((0, 1), (1, 2), (3, 1))]
        for name, value in whole.items():
            mean = (parts[0][name] + 2 * parts[1][name] + parts[2][name]) / 4
            torch.testing.assert_close(mean, value, rtol=1e-5, atol=1e-6)
        again = losses(Part(number, 0, 4, 0.5))
        assert {name: value.item() for name, value in again.items()} == {n: v.item() for n, v in whole.items()}


@pytest.mark.parametrize("audio_alone", [True, False])
def test_another_seed_or_step_draws_other_examples(audio_alone):
    drawn = {
        losses_by_part(audio_alone, seed)(Part(number, 0, 3))["loss"].item()
        for seed, number in ((0, 0), (1, 0), (0, 1))
    }
    assert len(drawn) == 3


def test_the_audio_branch_alone_leaves_the_pictures_weights_without_gradients():
    objective = task_objective(fake_clips(), FirstStageConfig(audio_alone=True), 0)
    model = tiny_model()
    objective.losses(model, objective.data[Part(0, 0, 3)], 0.0)["loss"].backward()
    moved = {name.split(".")[0] for name, value in model.named_parameters() if value.grad is not None}
    assert "audio_blocks" in moved
    assert not moved & {"blocks", "head", "patch_embedding", "a2v_blocks", "v2a_blocks"}


def test_a_scaled_bundle_keeps_the_recipe_in_proportion(tmp_path):
    half = recipe_of(parse(["--work", str(tmp_path), "--scale", "0.5"]))
    whole = Recipe(tmp_path)
    for name in ("codec_steps", "decoder_steps", "audio_steps", "joint_steps", "tasks_steps"):
        assert getattr(half, name) == pytest.approx(getattr(whole, name) / 2, abs=1)
    assert recipe_of(parse(["--scale", "1e-9"])).joint_steps == 1
    assert half.speeches == whole.speeches


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--scale", "0"], "must be positive"),
        (["--stage", "pack", "--scale", "2"], "pack takes no steps"),
        (["--learn-guidance", "1.5", "0"], "takes positive scales"),
    ],
)
def test_a_scale_that_means_nothing_is_refused(arguments, message, capsys):
    with pytest.raises(SystemExit):
        parse(arguments)
    assert message in capsys.readouterr().err


def test_a_stage_of_the_bundle_trains_and_leaves_averaged_weights(tmp_path, monkeypatch):
    # One step of the audio branch on a handful of sounds, in a process of its own, as the recipe starts it.
    from toon.training import __main__ as bundle

    small = Recipe(tmp_path, speeches=3, audio_steps=2, batch=2, workers=1, threads=1)
    monkeypatch.setattr(bundle, "recipe_of", lambda _: small)
    assert main(["--stage", "speech"]) == main(["--stage", "audio"]) == 0
    (checkpoint,) = Checkpoints(tmp_path / "audio", 1).found()
    assert checkpoint.name == "step-00000002"
    lines = (tmp_path / "audio" / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [2]
    weights, fresh = small.trained("audio"), new_model(MODEL, 0).state_dict()
    assert set(weights) == set(fresh)
    assert not torch.equal(weights["audio_blocks.0.ffn.0.weight"], fresh["audio_blocks.0.ffn.0.weight"])
    with pytest.raises(ValueError, match="stage joint has left nothing"):
        small.trained("joint")


def test_a_lively_recipe_has_scenes_of_all_lengths_and_its_own_sizes():
    recipe = recipe_of(parse(["--lively", "--stage", "tasks"]))
    assert recipe.world.lively
    assert [plan.video_frames for plan in recipe.task_plans["scenes"]] == [17, 25, 33, 49, 65]
    assert all(plan.world.lively for plans in recipe.task_plans.values() for plan in plans)
    assert recipe.model == LIVELY_MODEL


def test_a_recipe_that_learns_guidance_does_so_in_its_tasks(tmp_path, monkeypatch):
    losses = []
    monkeypatch.setattr(recipe_stages, "TaskClips", lambda *_: ToyClips())
    monkeypatch.setattr(recipe_stages, "train", lambda *given: losses.append(given[3].losses))
    learned = recipe_of(parse(["--learn-guidance", "1.5", "2"])).guidance
    assert learned == GuidanceConfig(1.5, 2.0, skip_layer=None)
    for guidance in (None, learned):
        recipe_stages.train_settle(Recipe(tmp_path, shipped=BUNDLED_MODEL, guidance=guidance))
    assert [type(one) for one in losses] == [TaskLosses, GuidedLosses]
    assert losses[1].config == learned
