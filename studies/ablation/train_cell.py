"""Training of a cell with the trainer: averaged weights, resuming, and the loss curve."""

import json
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

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

CHECKPOINT_STEPS = 100


@dataclass(frozen=True)
class Fitted:
    """Averaged weights by name, and the log's curve: ``step``, and means of the losses since the previous entry."""

    average: dict[str, Tensor]
    curve: list[dict[str, float]]


def fit(model: JointModel, objective: Objective, folder: Path, steps: int, batch: int) -> Fitted:
    """Train a model for some steps; a run found in the folder, which holds checkpoints and log, goes on.

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
    return Fitted(average, [{name: round(line[name], 4) for name in shown} for line in lines])
