"""The trainer: what its losses see, what it draws, who owns which weight, and that a resumed run is the same."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from uniavgen_core.config import TOON, BranchConfig, Interaction
from uniavgen_core.layers.rope import frequencies
from uniavgen_core.model.initialize import initialize
from uniavgen_core.model.joint import JointModel
from uniavgen_core.training.__main__ import parse, recipe_of
from uniavgen_core.training.dataset import Batch, speech_tensors
from uniavgen_core.training.diagonal import start_on_the_diagonal
from uniavgen_core.training.loop import LoopConfig, Trainee, train
from uniavgen_core.training.loss import face_mask_loss, velocity_loss
from uniavgen_core.training.optimizer import OptimizerConfig, make_optimizers, split_parameters
from uniavgen_core.training.recipe import Recipe
from uniavgen_core.training.sigmas import LogitNormal
from uniavgen_core.training.step import (
    AUDIO_DRIVEN,
    DUBBING,
    JOINT,
    SEPARATE,
    AudioStep,
    JointStep,
    StepConfig,
    draw_task,
)

ROOT = Path(__file__).parents[2]
TINY = replace(TOON, video=BranchConfig(16, 32, 2), audio=BranchConfig(16, 32, 2), num_layers=2, num_interactions=1)


def tiny_model(seed=0):
    torch.manual_seed(seed)
    model = JointModel(TINY)
    initialize(model)
    for parameter in model.parameters():
        if parameter.abs().max() == 0:
            torch.nn.init.normal_(parameter, std=0.1)
    return model


def batch_of(count=2, latent_frames=3, mel_frames=36):
    ids, lengths = speech_tensors(["hello red fish", None])
    return Batch(
        audio=torch.randn(count, mel_frames, 80),
        speech_ids=ids,
        speech_lengths=lengths,
        video=torch.randn(count, 48, latent_frames, 2, 2),
        caption=torch.randn(count, 4, 64),
        face=torch.rand(count, latent_frames, 2, 2),
        mouth=torch.rand(count, latent_frames, 2, 2),
    )


def losses_of(task, batch, model=None, **config):
    step = JointStep(model or tiny_model(), None, StepConfig(bfloat16=False, **config), 0)
    return step.losses(batch, task, torch.tensor([0.4, 0.8]), 0.5, torch.Generator().manual_seed(1))


def test_the_velocity_loss_does_not_see_kept_places():
    predicted, velocity = torch.randn(2, 5, 3), torch.randn(2, 5, 3)
    weight = torch.tensor([0.0, 1.0, 1.0, 0.0, 2.0])[None, :, None]
    changed = predicted.clone()
    changed[:, [0, 3]] += 100
    assert velocity_loss(changed, velocity, weight) == velocity_loss(predicted, velocity, weight)
    assert velocity_loss(predicted, velocity, 0 * weight) == 0


def test_the_velocity_loss_is_the_mean_squared_error_when_weights_are_equal():
    predicted, velocity = torch.randn(2, 5, 3), torch.randn(2, 5, 3)
    expected = torch.nn.functional.mse_loss(predicted, velocity)
    torch.testing.assert_close(velocity_loss(predicted, velocity, torch.full((1, 5, 1), 7.0)), expected)


def test_a_perfect_face_mask_costs_nothing_and_its_inverse_costs_one():
    face = torch.tensor([[[0.0, 1.0], [1.0, 0.0]]])
    both = torch.stack([face, 1 - face], 1)
    assert face_mask_loss(both[:, :1], face) == 0
    assert face_mask_loss(both[:, 1:], face) == 1
    assert face_mask_loss(both, face) == 0.5


def test_dubbing_learns_sound_only_and_audio_driven_learns_video_only():
    model = tiny_model()
    assert losses_of(DUBBING, batch_of(), model)["video"] == 0
    assert losses_of(DUBBING, batch_of(), model)["audio"] > 0
    assert losses_of(AUDIO_DRIVEN, batch_of(), model)["audio"] == 0
    assert losses_of(AUDIO_DRIVEN, batch_of(), model)["video"] > 0


def test_the_first_latent_is_a_condition_and_never_a_target():
    torch.manual_seed(3)
    batch, model = batch_of(), tiny_model()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    batch.video.requires_grad_()
    output = torch.zeros(())

    def zeros(video, audio, timesteps, conditions, kept):
        nonlocal output
        assert torch.equal(video[:, :, 0], batch.video[:, :, 0])
        assert (timesteps[0][:, 0] == 0).all()
        assert (timesteps[0][:, 1:] > 0).all()
        assert kept[0][:, 0].all()
        assert not kept[0][:, 1:].any()
        output = model(video, audio, timesteps, conditions, kept)
        return replace(output, video=0 * output.video, audio=0 * output.audio)

    losses = JointStep(zeros, None, StepConfig(bfloat16=False), 0).losses(
        batch, JOINT, torch.tensor([0.4, 0.8]), 0.0, torch.Generator().manual_seed(1)
    )
    (gradient,) = torch.autograd.grad(losses["video"], batch.video)
    assert gradient[:, :, 0].abs().max() == 0
    assert gradient[:, :, 1:].abs().min() > 0


def test_the_face_mask_loss_fades_out():
    step = JointStep(tiny_model(), None, StepConfig(bfloat16=False, mask_weight=10.0), 0)

    def loss_at(progress):
        torch.manual_seed(0)
        batch = batch_of()
        return step.losses(batch, JOINT, torch.tensor([0.4, 0.8]), progress, torch.Generator().manual_seed(1))

    start, end = loss_at(0.0), loss_at(1.0)
    torch.testing.assert_close(start["loss"] - end["loss"], 10 * start["mask"])
    torch.testing.assert_close(end["loss"], end["video"] + end["audio"])


def test_tasks_are_drawn_by_their_shares():
    config = StepConfig(interaction_off=0.2, dubbing=0.1, audio_driven=0.3)
    random = np.random.default_rng(0)
    drawn = [draw_task(config, random) for _ in range(4000)]
    for task, share in ((SEPARATE, 0.2), (DUBBING, 0.1), (AUDIO_DRIVEN, 0.3), (JOINT, 0.4)):
        assert drawn.count(task) / 4000 == pytest.approx(share, abs=0.03)
    assert SEPARATE.interaction is Interaction.OFF


def test_noise_levels_have_a_normal_logit():
    logits = torch.logit(LogitNormal(1.0, 1.2).sample(20_000, torch.Generator().manual_seed(0)).double())
    quantiles = torch.quantile(logits, torch.tensor([0.1587, 0.5, 0.8413], dtype=torch.float64))
    torch.testing.assert_close(quantiles, torch.tensor([-0.2, 1.0, 2.2], dtype=torch.float64), atol=0.05, rtol=0)


def test_every_parameter_has_exactly_one_optimizer():
    model = tiny_model()
    matrices, others = split_parameters(model)
    assert sorted(matrices + others) == sorted(name for name, _ in model.named_parameters())
    owned = [p for o in make_optimizers(model, OptimizerConfig()) for g in o.param_groups for p in g["params"]]
    assert sorted(map(id, owned)) == sorted(id(p) for p in model.parameters())
    assert "blocks.0.ffn.0.weight" in matrices
    assert "a2v_blocks.0.q.weight" in matrices
    assert "a2v_blocks.0.mask_head.head.weight" in others
    assert "text_embedding.text_embed.weight" in others


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


class FakeClips:
    """Five clips of noise."""

    def __init__(self):
        torch.manual_seed(7)
        self.audio = torch.randn(5, 24, 80)

    def __len__(self):
        return 5

    def batch(self, chosen, textless, captionless):
        del captionless
        return Batch(self.audio[chosen], *speech_tensors([None if drop else "no" for drop in textless]))


def trained(folder, steps, seed=0, log_every=1):
    model = tiny_model()
    trainee = Trainee(model, make_optimizers(model, OptimizerConfig()))
    seen = []
    step = AudioStep(model, FakeClips(), StepConfig(batch=3, bfloat16=False), seed)

    def losses(number, progress):
        values = step(number, 0.0 * progress)
        seen.append(float(values["loss"].detach()))
        return values

    train(trainee, losses, LoopConfig(folder, "toy", steps=steps, fall=0.0, log_every=log_every))
    return trainee, seen


def test_a_resumed_run_has_the_losses_of_an_unbroken_one(tmp_path):
    whole, losses = trained(tmp_path / "whole", 4)
    _, first = trained(tmp_path / "parts", 2)
    parts, second = trained(tmp_path / "parts", 4)
    assert first + second == losses
    for name, value in whole.average.items():
        assert torch.equal(parts.average[name], value), name
    assert len((tmp_path / "parts" / "toy.jsonl").read_text().splitlines()) == 4


def test_another_seed_draws_other_batches(tmp_path):
    assert trained(tmp_path / "a", 2, seed=0)[1] != trained(tmp_path / "b", 2, seed=1)[1]


def test_a_loss_that_is_not_finite_stops_training(tmp_path):
    model = torch.nn.Linear(1, 1)
    trainee = Trainee(model, [torch.optim.SGD(model.parameters(), 0.1)])
    with pytest.raises(FloatingPointError, match="step 0"):
        train(trainee, lambda *_: {"loss": model.weight.sum() * torch.nan}, LoopConfig(tmp_path, "toy", steps=1))


@pytest.mark.parametrize("budget", [{}, {"steps": 1, "minutes": 1.0}])
def test_a_budget_is_steps_or_minutes(tmp_path, budget):
    with pytest.raises(ValueError, match="steps or minutes"):
        LoopConfig(tmp_path, "toy", **budget)


def test_two_processes_step_along_the_mean_gradient_and_agree_on_the_time(tmp_path):
    # Programs of their own: a spawned process would look for this module in ComfyUI's package of the same name.
    command = [sys.executable, "-m", "tests.core.one_peer"]
    processes = [subprocess.Popen([*command, str(rank), str(tmp_path)], cwd=ROOT) for rank in (0, 1)]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    for rank in (0, 1):
        weight, bias, seconds = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert weight.tolist() == [[1.5, 1.5]]
        assert bias.tolist() == [1.0]
        assert seconds == 5.0


def test_processes_draw_one_task_but_different_clips():
    seen = {}

    class Recorder(JointStep):
        def _draw_batch(self, task, progress, random):
            seen[self.rank] = (task, random.integers(2**40))
            return super()._draw_batch(task, progress, random)

        def losses(self, *_):
            return {}

    for step in range(8):
        for rank in (0, 1):
            Recorder(None, FakeClips(), StepConfig(batch=2), 0, rank)(step, 0.0)
        assert seen[0][0] == seen[1][0]
        assert seen[0][1] != seen[1][1]


def test_a_bundle_of_given_minutes_keeps_the_recipe_in_proportion(tmp_path):
    recipe = Recipe(tmp_path)
    half = recipe_of(parse(["bundle", "--work", str(tmp_path), "--minutes", "10"]))
    assert sum(value for name, value in vars(half).items() if name.endswith("_minutes")) == pytest.approx(10)
    assert half.joint_minutes / half.audio_minutes == pytest.approx(recipe.joint_minutes / recipe.audio_minutes)
    assert recipe_of(parse(["audio", "--minutes", "3"])).audio_minutes == 3


def test_the_log_has_the_steps_of_a_run_too_short_for_a_whole_line(tmp_path):
    trained(tmp_path, 2, log_every=20)
    (log,) = tmp_path.glob("*.jsonl")
    assert [json.loads(line)["step"] for line in log.read_text().splitlines()] == [2]
