"""Runs of the study: each writes one file, is skipped if the file exists, and continues after an interruption."""

import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from toon.training.diagonal_start import new_model
from uniavgen_core.atomic_write import atomic_write
from uniavgen_core.model.joint import JointModel
from uniavgen_core.training.batch_part import Objective
from uniavgen_core.training.checkpoint_weights import averaged_weights
from uniavgen_core.training.checkpoints import Checkpoints
from uniavgen_core.training.engine import EngineConfig, make_accelerator
from uniavgen_core.training.launch import Stopped
from uniavgen_core.training.monitor import LOG
from uniavgen_core.training.optimizer import OptimizerConfig, make_optimizers
from uniavgen_core.training.trainer import Trainer
from uniavgen_core.training.trainer_config import TrainerConfig

from .cell_losses import cell_objective
from .cell_measures import Meter, make_judges
from .cells import BASE, Place, Study, cell_named
from .study_clips import load_material

PRETRAIN, GUIDANCE, TRUTH, JUDGES = "pretrain", "guidance", "truth", "judges"
INTERACTIONS = ("a2v_blocks.", "v2a_blocks.")
CHECKPOINT_STEPS = 100


@dataclass(frozen=True)
class Job:
    """One run: of a cell by its name, or one of ``PRETRAIN``, ``GUIDANCE``, ``TRUTH`` and ``JUDGES``."""

    name: str
    seed: int

    def output(self, place: Place) -> Path:
        """File that marks the job as done."""
        if self.name == PRETRAIN:
            return place.pretrained(self.seed)
        return place.work / "judges" / "ready" if self.name == JUDGES else place.result(self.name, self.seed)

    @property
    def needs(self) -> tuple["Job", ...]:
        """Dependencies of the job."""
        if self.name in (PRETRAIN, JUDGES):
            return ()
        if self.name == TRUTH:
            return (Job(JUDGES, 0),)
        base = (Job(BASE.name, self.seed),) if self.name == GUIDANCE else ()
        return (*base, Job(PRETRAIN, self.seed), Job(JUDGES, 0))


def run(job: Job, study: Study, work: Path) -> None:
    """Run a job whose dependencies are done, on one thread because jobs run in parallel."""
    torch.set_num_threads(1)
    place = Place(work)
    output = job.output(place)
    output.parent.mkdir(parents=True, exist_ok=True)
    if job.name == PRETRAIN:
        _pretrain(study, place, job.seed)
    elif job.name == JUDGES:
        make_judges(study, work)
        output.touch()
    else:
        started = time.process_time()
        content = {TRUTH: _truth, GUIDANCE: _guidance}.get(job.name, _cell)(study, place, job)
        content = {"name": job.name, "seed": job.seed, **content, "cpu_seconds": round(time.process_time() - started)}
        with atomic_write(output) as partial:
            partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def fit(
    model: JointModel, objective: Objective, folder: Path, steps: int, batch: int
) -> tuple[dict[str, Tensor], list[dict[str, float]]]:
    """Train a model for some steps; a run found in the folder goes on.

    Returns:
        Averaged weights by name, and the log: ``step``, and means of the losses since the entry before.

    Raises:
        Stopped: If training was interrupted.
    """
    config = TrainerConfig(
        folder.parent, folder.name, steps, batch, checkpoint_every=CHECKPOINT_STEPS, keep=1, bar=False, workers=0
    )
    accelerator = make_accelerator(EngineConfig("no", cpu=True), config.home)
    trainer = Trainer(model, make_optimizers(model, OptimizerConfig()), objective, config, accelerator)
    if not trainer.run():
        raise Stopped(f"{folder.name} was stopped after {trainer.step} steps.")
    accelerator.end_training()
    average = averaged_weights(Checkpoints(config.home, config.keep).newest())
    lines = [json.loads(line) for line in (config.home / LOG).read_text(encoding="utf-8").splitlines()]
    shown = ("step", "video", "audio", "mask")
    return average, [{name: round(line[name], 4) for name in shown} for line in lines]


def _pretrain(study: Study, place: Place, seed: int) -> None:
    """Train both branches side by side, and keep them."""
    model = new_model(study.model_config(BASE), seed)
    objective = cell_objective(load_material(study, place.work, False), model.config.text, seed, None)
    folder = place.work / "training" / f"{PRETRAIN}-seed-{seed}"
    average, _ = fit(model, objective, folder, study.pretrain_steps, study.batch)
    branches = {name: value for name, value in average.items() if not name.startswith(INTERACTIONS)}
    _keep(branches, place.pretrained(seed))


def _cell(study: Study, place: Place, job: Job) -> dict:
    """Train and measure a cell."""
    curve = _train(study, place, job)
    model = new_model(study.model_config(cell_named(job.name)), job.seed)
    model.load_state_dict(load_file(place.weights(job.name, job.seed)))
    values = Meter.of(study, place.work).measure(model.eval())
    shutil.rmtree(place.work / "training" / f"{job.name}-seed-{job.seed}")
    return {"steps": study.steps, "values": values, "curve": curve}


def _train(study: Study, place: Place, job: Job) -> list[dict[str, float]]:
    """Train a cell from the branches of its seed, save its averaged weights, and return the loss curve."""
    cell = cell_named(job.name)
    model = new_model(study.model_config(cell), job.seed)
    model.load_state_dict(load_file(place.pretrained(job.seed)), strict=False)
    objective = cell_objective(load_material(study, place.work, False), model.config.text, job.seed + 1000, cell)
    folder = place.work / "training" / f"{job.name}-seed-{job.seed}"
    average, curve = fit(model, objective, folder, study.steps, study.batch)
    _keep(average, place.weights(job.name, job.seed))
    return curve


def _guidance(study: Study, place: Place, job: Job) -> dict:
    """Sample the base cell's model with every kind of guidance."""
    path = place.weights(BASE.name, job.seed)
    if not path.exists():  # Its result was copied from existing results.
        _train(study, place, Job(BASE.name, job.seed))
    model = new_model(study.model_config(BASE), job.seed)
    model.load_state_dict(load_file(path))
    meter = Meter.of(study, place.work)
    kinds = {**study.guidance, **study.curves}
    return {"kinds": {name: meter.judge(meter.generate(model.eval(), kind)) for name, kind in kinds.items()}}


def _truth(study: Study, place: Place, job: Job) -> dict:
    """Measure the held-out clips themselves."""
    del job
    meter = Meter.of(study, place.work)
    return {"values": meter.truth(), "judges": meter.judges.accuracy}


def _keep(weights: dict[str, Tensor], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as partial:
        save_file({name: value.contiguous() for name, value in weights.items()}, partial)
