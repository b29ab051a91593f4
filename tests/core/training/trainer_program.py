"""Runs as a program of its own: ``python -m tests.core.training.trainer_program RUNS``.

``RUNS`` is JSON, a list of folders, numbers of processes and options. The runs follow each other, and processes that
share one are forked, because importing torch takes longer than the work.

A program, because a spawned process would look for a test's module in ComfyUI's package of the same name, and because
one of them is killed.
"""

import json
import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch._dynamo  # optimizers import it: here, once for all forked processes
from torch.multiprocessing import get_all_start_methods, start_processes
from torch.utils.data import Dataset

from tests.training_toys import ToyClips
from uniavgen_core.config import TOON, BranchConfig, GuidanceConfig, Interaction
from uniavgen_core.model.initialize import initialize
from uniavgen_core.model.joint import Conditions, JointModel
from uniavgen_core.training.batch_part import Objective, Part
from uniavgen_core.training.distill.distill_config import DISTILL, DistillConfig, Method
from uniavgen_core.training.distill.distill_objective import distill_objective
from uniavgen_core.training.engine import EngineConfig, make_accelerator
from uniavgen_core.training.gradient_checkpointing import RecomputedModel
from uniavgen_core.training.lora import LoraPlan, add_lora
from uniavgen_core.training.trainer import Trainer
from uniavgen_core.training.trainer_config import TrainerConfig

ROOT = Path(__file__).parents[3]
TINY = replace(TOON, video=BranchConfig(16, 32, 2), audio=BranchConfig(16, 32, 2), num_layers=2, num_interactions=1)
DEFAULTS = {"steps": 6, "batch": 4, "warmup": 2, "log_every": 1, "checkpoint_every": 100, "bar": False, "workers": 0}


def tiny_model(form=JointModel, seed=0, layers=2):
    """A network in which nothing is zero."""
    torch.manual_seed(seed)
    model = form(replace(TINY, num_layers=layers, num_interactions=layers // 2))
    initialize(model)
    for parameter in model.parameters():
        if parameter.abs().max() == 0:
            torch.nn.init.normal_(parameter, std=0.1)
    return model


@dataclass(frozen=True)
class NoiseBatch:
    """Noise that a network is given."""

    part: Part
    video: torch.Tensor
    audio: torch.Tensor
    times: torch.Tensor
    conditions: Conditions


@dataclass(frozen=True)
class NoiseBatches(Dataset):
    """Noise for each part; every third step leaves a direction out."""

    def __getitem__(self, part):
        own = part.own(0)
        interaction = Interaction.AUDIO_TO_VIDEO if part.step % 3 == 1 else Interaction.BOTH

        def draw(*shape):
            return torch.stack([torch.from_numpy(random.standard_normal(shape)).float() for random in own])

        video, audio, times = draw(48, 3, 2, 2), draw(24, 80), 1000 * draw(1).sigmoid()
        ids = torch.ones(part.count, 10, dtype=torch.long)
        return NoiseBatch(part, video, audio, times, Conditions(draw(4, 64), ids, interaction=interaction))


def noise_losses(model, batch, progress):
    """The network's distance from the noise it is given."""
    del progress
    times = (batch.times.expand(-1, 3), batch.times.expand(-1, 24))
    output = model(batch.video, batch.audio, times, batch.conditions)
    losses = {"video": ((output.video - batch.video) ** 2).mean(), "audio": ((output.audio - batch.audio) ** 2).mean()}
    return losses | {"loss": losses["video"] + losses["audio"]}


NOISE = Objective(NoiseBatches(), noise_losses)


def distilled(method):
    """A network with adapters, and the objective of their distillation."""
    config = DistillConfig(Method(method), passes=2, guidance=GuidanceConfig(skip_layer=None), critic_steps=1)
    model = tiny_model(RecomputedModel)
    add_lora(model, LoraPlan(interactions=True, rank=2), config.adapters)
    return model, distill_objective(ToyClips(), replace(DISTILL.tasks, reference_voice=0.0), config, seed=0)


def main(folder, options):
    method = options.pop("distill", None)
    delay, sharded, recomputed = (options.pop(name, 0) for name in ("delay", "sharded", "recomputed"))
    hang = options.pop("hang", None)
    config = TrainerConfig(folder, "run", **DEFAULTS | options)
    accelerator = make_accelerator(EngineConfig("no", bool(sharded), cpu=True), config.home, config.accumulation)
    model = tiny_model(RecomputedModel if recomputed else JointModel)

    def losses(model, batch, progress):
        time.sleep(3600 if batch.part.step == hang else delay)
        return noise_losses(model, batch, progress)

    objective = Objective(NoiseBatches(), losses)
    if method is not None:
        model, objective = distilled(method)
    weights = [value for value in model.parameters() if value.requires_grad]
    trainer = Trainer(model, [torch.optim.AdamW(weights, 1e-2)], objective, config, accelerator)
    trainer.run()
    assert accelerator.is_fsdp2 == sharded
    accelerator.end_training()


def start(*runs):
    """Start a program for runs, each a folder, a number of processes and options; returns its process."""
    said = json.dumps([(str(folder), processes, options) for folder, processes, options in runs])
    command = [sys.executable, "-m", "tests.core.training.trainer_program", said]
    return subprocess.Popen(command, cwd=ROOT)


def run_process(rank, processes, port, folder, options):
    """Be one of the processes of a run."""
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes}
    place |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in place.items()})
    main(Path(folder), options)


def run_all(runs):
    """Run one after the other."""
    torch.set_num_threads(1)
    for folder, processes, options in runs:
        if processes == 1:
            main(Path(folder), options)
            continue
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        method = "fork" if "fork" in get_all_start_methods() else "spawn"
        arguments = (processes, port, folder, options)
        start_processes(run_process, args=arguments, nprocs=processes, start_method=method)


def log_of(folder):
    """Lines of the run's log."""
    path = folder / "run" / "log.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


if __name__ == "__main__":
    run_all(json.loads(sys.argv[1]))
