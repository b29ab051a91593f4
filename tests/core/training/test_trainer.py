"""The trainer: a run is the same however it is divided among processes, and however often it is broken off."""

import json
import os
import signal
import threading
import time
from dataclasses import replace
from multiprocessing import active_children

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.core.training.trainer_program import DEFAULTS, NoiseBatches, log_of, main, noise_losses, start, tiny_model
from uniavgen_core.model.joint import JointModel
from uniavgen_core.training.batch_part import Objective
from uniavgen_core.training.checkpoint_weights import averaged_weights
from uniavgen_core.training.engine import EngineConfig
from uniavgen_core.training.gradient_checkpointing import RecomputedModel
from uniavgen_core.training.trainer import Trainer
from uniavgen_core.training.trainer_config import TrainerConfig
from uniavgen_core.training.weight_average import Average

PATIENCE = 600
ROUNDING = {"rtol": 2e-6, "atol": 0}


def losses_of(folder):
    return [line["loss"] for line in log_of(folder)]


def finish(program):
    assert program.wait(timeout=PATIENCE) == 0


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """A run of one process with whole batches."""
    folder = tmp_path_factory.mktemp("alone")
    main(folder, {})
    return folder


def assert_same_run(folder, alone):
    np.testing.assert_allclose(losses_of(folder), losses_of(alone), **ROUNDING)
    for name in ("norm", "rate", "video", "audio"):
        np.testing.assert_allclose([x[name] for x in log_of(folder)], [x[name] for x in log_of(alone)], rtol=1e-5)
    expected = averaged_weights(alone / "run" / "step-00000006")
    for name, value in averaged_weights(folder / "run" / "step-00000006").items():
        torch.testing.assert_close(value, expected[name], rtol=1e-3, atol=1e-4, msg=name)  # Muon magnifies rounding


def test_accumulating_parts_gives_the_run_of_whole_batches(tmp_path, alone):
    main(tmp_path, {"accumulation": 2})
    assert_same_run(tmp_path, alone)
    assert losses_of(tmp_path) != [losses_of(tmp_path)[0]] * 6


@pytest.mark.parametrize("options", [{}, {"accumulation": 2}])
def test_batches_read_ahead_give_the_run_of_batches_read_in_turn(tmp_path, options):
    main(tmp_path / "turn", dict(options))
    main(tmp_path / "ahead", {"workers": 2, **options})
    assert losses_of(tmp_path / "ahead") == losses_of(tmp_path / "turn")
    turn, ahead = (averaged_weights(tmp_path / name / "run" / "step-00000006") for name in ("turn", "ahead"))
    assert all(torch.equal(value, turn[name]) for name, value in ahead.items())


class Reading(NoiseBatches):
    """Batches that note which process made them."""

    def __getitem__(self, part):
        return replace(super().__getitem__(part), part=replace(part, first=os.getpid()))


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_make_the_batches_in_processes_of_their_own(tmp_path, workers):
    makers = []

    def losses(model, batch, progress):
        makers.append(batch.part.first)
        return noise_losses(model, batch, progress)

    model = tiny_model()
    config = TrainerConfig(tmp_path, "run", **DEFAULTS | {"workers": workers})
    Trainer(model, [torch.optim.AdamW(model.parameters(), 1e-2)], Objective(Reading(), losses), config).run()
    assert len(makers) == 6
    assert len(set(makers)) == max(1, workers)
    assert (os.getpid() in makers) == (workers == 0)


SHARDED = {"sharded": True, "checkpoint_every": 2}


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """Runs of two processes."""
    folder = tmp_path_factory.mktemp("together")
    accumulated = (folder / "accumulated", 2, {"accumulation": 2, "workers": 1})
    finish(start(accumulated, (folder / "sharded", 2, SHARDED | {"recomputed": True})))
    return folder


def test_two_processes_that_accumulate_give_the_run_of_one(together, alone):
    assert_same_run(together / "accumulated", alone)


def test_two_processes_with_sharded_weights_give_the_run_of_one_even_when_recomputed_and_resumed(together, alone):
    folder = together / "sharded"
    checkpoints = sorted((folder / "run").glob("step-*"))
    assert [path.name for path in checkpoints] == ["step-00000004", "step-00000006"]
    (checkpoints[-1] / "manifest.json").unlink()
    finish(start((folder, 2, SHARDED)))
    assert_same_run(folder, alone)


def test_after_a_kill_the_run_goes_on_as_if_nothing_had_happened(tmp_path):
    options = {"steps": 12, "checkpoint_every": 3}
    # The whole run is of the program too: sums of another number of threads differ in the last bit.
    hung = (tmp_path / "killed", 1, {"hang": 8, "workers": 2, **options})
    process = start((tmp_path / "whole", 1, options), hung)
    deadline = time.monotonic() + PATIENCE
    while len(log_of(tmp_path / "killed")) < 8 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    assert process.wait(timeout=PATIENCE) == -signal.SIGKILL
    assert len(log_of(tmp_path / "killed")) == 8  # the checkpoint is of step 6
    finish(start((tmp_path / "killed", 1, options)))
    assert [line["step"] for line in log_of(tmp_path / "killed")] == list(range(1, 13))
    assert losses_of(tmp_path / "killed") == losses_of(tmp_path / "whole")
    expected = averaged_weights(tmp_path / "whole" / "run" / "step-00000012")
    for name, value in averaged_weights(tmp_path / "killed" / "run" / "step-00000012").items():
        assert torch.equal(value, expected[name]), name


def interrupted(number, after):
    """Losses that send this process and its workers a signal in the given step."""

    def losses(model, batch, progress):
        if batch.part.step == after:
            for process in (os.getpid(), *(child.pid for child in active_children())):
                os.kill(process, number)
        return noise_losses(model, batch, progress)

    return losses


def trainer_of(folder, losses=noise_losses, model=None, **options):
    model = model or tiny_model()
    config = TrainerConfig(folder, "run", **DEFAULTS | options)
    return Trainer(model, [torch.optim.AdamW(model.parameters(), 1e-2)], Objective(NoiseBatches(), losses), config)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_after_its_step_with_a_checkpoint(tmp_path, alone, number, workers):
    before = signal.getsignal(number)
    assert not trainer_of(tmp_path, interrupted(number, 2), workers=workers).run()
    assert signal.getsignal(number) is before
    assert [path.name for path in (tmp_path / "run").glob("step-*")] in (["step-00000003"], ["step-00000004"])
    assert trainer_of(tmp_path).run()
    assert losses_of(tmp_path) == losses_of(alone)
    whole, resumed = (averaged_weights(folder / "run" / "step-00000006") for folder in (alone, tmp_path))
    assert all(torch.equal(value, whole[name]) for name, value in resumed.items())


def test_runs_outside_the_main_thread_leave_signals_alone(tmp_path):
    before, results = signal.getsignal(signal.SIGINT), []
    trainer = trainer_of(tmp_path, steps=1)
    thread = threading.Thread(target=lambda: results.append(trainer.run()))
    thread.start()
    thread.join()
    assert results == [True]
    assert signal.getsignal(signal.SIGINT) is before


def test_lines_of_the_log_are_means_that_survive_a_resumption(tmp_path):
    trainer_of(tmp_path / "whole", log_every=4).run()
    trainer_of(tmp_path / "parts", interrupted(signal.SIGINT, 1), log_every=4).run()
    trainer_of(tmp_path / "parts", log_every=4).run()
    lines = log_of(tmp_path / "parts")
    assert [line["step"] for line in lines] == [4, 6]
    assert [line["loss"] for line in lines] == losses_of(tmp_path / "whole")


def test_a_loss_that_is_not_finite_stops_training_before_weights_change(tmp_path):
    model = tiny_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}

    def losses(model, batch, progress):
        return {name: value * torch.nan for name, value in noise_losses(model, batch, progress).items()}

    with pytest.raises(FloatingPointError, match="Step 0"):
        trainer_of(tmp_path, losses, model).run()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_batch_that_does_not_divide_is_refused(tmp_path):
    with pytest.raises(ValueError, match="does not divide among 1 processes with 3 parts"):
        trainer_of(tmp_path, accumulation=3)
    with pytest.raises(ValueError, match="workers is -1"):
        TrainerConfig(tmp_path, "run", steps=1, workers=-1)
    with pytest.raises(ValueError, match="keep is 0"):
        TrainerConfig(tmp_path, "run", steps=1, keep=0)
    with pytest.raises(ValueError, match="precision is 'half'"):
        EngineConfig("half")


def test_every_example_of_a_batch_is_computed_once():
    config = TrainerConfig(None, "run", steps=1, batch=12, accumulation=2)
    parts = [config.part(0, turn, rank, 3) for turn in range(2) for rank in range(3)]
    assert sorted(part.first + i for part in parts for i in range(part.count)) == list(range(12))


def test_the_parts_of_a_resumed_run_are_the_rest_of_the_whole_runs():
    config = TrainerConfig(None, "run", steps=5, batch=12, accumulation=2)
    whole = list(config.parts(0, 1, 3))
    assert list(config.parts(2, 1, 3)) == whole[4:]
    assert [part.progress for part in whole[::2]] == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8])


def test_rates_rise_and_fall():
    config = TrainerConfig(None, "run", steps=10, warmup=4, fall=1.0)
    assert [config.rate(step) for step in (0, 1, 3, 5)] == pytest.approx([0.25, 0.5 * 0.9, 0.7, 0.5])
    assert TrainerConfig(None, "run", steps=10, warmup=0, fall=0.0).rate(9) == 1


def test_the_average_follows_the_weights_and_is_swapped_in_for_a_while():
    model = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(model.weight)
    average = Average(model, 0.75)
    torch.nn.init.ones_(model.weight)
    average.update(1000)
    average.update(1000)
    assert average.values["weight"].item() == pytest.approx(1 - 0.75**2)
    with average.swapped_in() as swapped:
        assert swapped.weight.item() == average.values["weight"].item()
    assert model.weight.item() == 1
    average.update(0)
    assert average.values["weight"].item() == pytest.approx(1 - 0.1 * 0.75**2)


def test_the_average_leaves_weights_out_that_are_not_trained(tmp_path):
    model = tiny_model()
    model.blocks.requires_grad_(False)
    trainer_of(tmp_path, model=model).run()
    checkpoint = tmp_path / "run" / "step-00000006"
    own = load_file(checkpoint / "model.safetensors")
    weights = averaged_weights(checkpoint)
    assert set(weights) == set(model.state_dict())
    assert torch.equal(weights["blocks.0.ffn.0.weight"], own["model.blocks.0.ffn.0.weight"])
    assert torch.equal(weights["blocks.0.ffn.0.weight"], tiny_model().blocks[0].ffn[0].weight)
    assert not torch.equal(weights["audio_blocks.0.ffn.0.weight"], own["model.audio_blocks.0.ffn.0.weight"])


def gradients_and_bytes(form):
    model, saved = tiny_model(form, layers=8), []

    def note(tensor):
        saved.append(tensor.numel() * tensor.element_size())
        return tensor

    part = TrainerConfig(None, "run", steps=1, batch=4).part(0, 0, 0, 1)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        loss = noise_losses(model, NoiseBatches()[part], 0.0)["loss"]
    loss.backward()
    return {name: value.grad for name, value in model.named_parameters()}, sum(saved)


def test_gradient_checkpointing_saves_less_and_changes_no_gradient():
    plain, plain_bytes = gradients_and_bytes(JointModel)
    recomputed, fewer_bytes = gradients_and_bytes(RecomputedModel)
    assert fewer_bytes < 0.35 * plain_bytes
    for name, gradient in plain.items():
        assert (gradient is None) == (recomputed[name] is None), name
        assert gradient is None or torch.equal(gradient, recomputed[name]), name


def test_a_damaged_newest_checkpoint_is_named_and_the_one_before_is_resumed(tmp_path, alone):
    trainer_of(tmp_path, checkpoint_every=2).run()
    newest = tmp_path / "run" / "step-00000006"
    with (newest / "model.safetensors").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\x55")
    with pytest.warns(UserWarning, match=r"step-00000006 is damaged.*contents of model\.safetensors"):
        trainer_of(tmp_path, checkpoint_every=2).run()
    assert losses_of(tmp_path) == losses_of(alone)
    assert (tmp_path / "run" / "step-00000006.damaged").is_dir()
    assert json.loads((newest / "trainer.json").read_text())["step"] == 6
