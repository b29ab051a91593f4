"""The training loop: steps within a budget, an averaged copy of the weights, checkpoints, resuming, a log.

Everything random is drawn by the caller from (seed, step), so a resumed run takes the same steps as an unbroken one.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from .peers import Peers

Losses = Callable[[int, float], Mapping[str, Tensor]]
"""(step, progress in [0, 1)) to named losses; the one named ``loss`` is minimised."""


@dataclass(frozen=True)
class LoopConfig:
    """How long a stage trains and what it keeps.

    Attributes:
        folder: Where the checkpoint and the log lie; a checkpoint found there is resumed.
        name: Stem of both files.
        steps: Length in steps, or None.
        minutes: Length in minutes of computing, over all resumed parts, or None. Exactly one of the two is given.
        warmup: Steps over which the learning rate rises.
        fall: Power by which the learning rate falls to zero with progress.
        average: Decay of the averaged weights per step.
        clip: Largest norm of the gradient.
        log_every: Steps between two lines of the log.
        checkpoint_minutes: Minutes between two checkpoints.

    Raises:
        ValueError: If not exactly one of ``steps`` and ``minutes`` is given.
    """

    folder: Path
    name: str
    steps: int | None = None
    minutes: float | None = None
    warmup: int = 50
    fall: float = 0.7
    average: float = 0.995
    clip: float = 1.0
    log_every: int = 20
    checkpoint_minutes: float = 3.0

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.minutes is None):
            raise ValueError(f"Give steps or minutes, not both or neither: {self.steps}, {self.minutes}.")

    def progress(self, step: int, seconds: float) -> float:
        """Share of the budget that is spent, 1 when the stage is over."""
        if self.steps is not None:
            return min(1.0, step / self.steps)
        return min(1.0, seconds / (60 * self.minutes))

    def rate(self, step: int, progress: float) -> float:
        """Factor on every learning rate."""
        return min(1.0, (step + 1) / self.warmup) * (1 - progress) ** self.fall


class Trainee:
    """A model in training: weights, their average, optimizers, and how far it is.

    Attributes:
        peers: The processes it is trained by.
        average: Averaged weights and buffers by name.
        step: Steps taken.
        seconds: Computing time spent.
    """

    def __init__(self, model: nn.Module, optimizers: Sequence[Optimizer], peers: Peers | None = None) -> None:
        self.model = model
        self.optimizers = optimizers
        self.peers = peers or Peers()
        self.average = {name: value.detach().clone() for name, value in model.state_dict().items()}
        self.peaks = [[group["lr"] for group in optimizer.param_groups] for optimizer in optimizers]
        self.step = 0
        self.seconds = 0.0

    def update(self, loss: Tensor, rate: float, config: LoopConfig) -> float:
        """Take one step against ``loss`` at ``rate`` times the peak learning rates; returns the gradient's norm."""
        for optimizer, peaks in zip(self.optimizers, self.peaks, strict=True):
            optimizer.zero_grad()
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["lr"] = peak * rate
        loss.backward()
        self.peers.average_gradients(self.model)
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), config.clip)
        for optimizer in self.optimizers:
            optimizer.step()
        decay = min(config.average, (self.step + 1) / (self.step + 10))
        with torch.no_grad():
            for name, value in self.model.state_dict().items():
                self.average[name].lerp_(value, 1 - decay) if value.is_floating_point() else self.average[name].copy_(
                    value
                )
        self.step += 1
        return float(norm)

    def save(self, path: Path) -> None:
        """Write everything needed to go on; the file is replaced in one move, so it is never half-written."""
        content = {
            "model": self.model.state_dict(),
            "average": self.average,
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "step": self.step,
            "seconds": self.seconds,
        }
        partial = path.with_suffix(".partial")
        torch.save(content, partial)
        partial.replace(path)

    def restore(self, path: Path) -> None:
        """Go on from a file that ``save`` wrote."""
        content = torch.load(path, weights_only=True)
        self.model.load_state_dict(content["model"])
        self.average = content["average"]
        for optimizer, state in zip(self.optimizers, content["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        self.step, self.seconds = content["step"], content["seconds"]


class Log:
    """Appends the means of losses to a file, one JSON object a line; a loss may be absent from some steps."""

    def __init__(self, path: Path, every: int) -> None:
        self.path = path
        self.every = every
        self.values: dict[str, list[float]] = {}
        self.count = 0

    def add(self, trainee: Trainee, values: Mapping[str, float]) -> None:
        """Note the values of one step; writes a line when enough have come together."""
        for name, value in values.items():
            self.values.setdefault(name, []).append(value)
        self.count += 1
        if self.count == self.every:
            self.write(trainee)

    def write(self, trainee: Trainee) -> None:
        """Write a line of what has come together so far, if anything."""
        if self.count:
            means = {name: round(sum(values) / len(values), 5) for name, values in self.values.items()}
            line = json.dumps({"step": trainee.step, "seconds": round(trainee.seconds, 1), **means})
            with self.path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
        self.values, self.count = {}, 0


def train(trainee: Trainee, losses: Losses, config: LoopConfig) -> None:
    """Train until the budget is spent, resuming from the folder's checkpoint if there is one.

    Args:
        trainee: Model and optimizers; holds the result.
        losses: Computes the losses of a step.
        config: Budget, folder, rates.

    Raises:
        FloatingPointError: If the loss is not finite.
    """
    config.folder.mkdir(parents=True, exist_ok=True)
    checkpoint = config.folder / f"{config.name}.pt"
    if checkpoint.exists():
        trainee.restore(checkpoint)
    log = Log(config.folder / f"{config.name}.jsonl", config.log_every)
    saved = trainee.seconds
    while (progress := config.progress(trainee.step, trainee.seconds)) < 1:
        started = time.perf_counter()
        values = losses(trainee.step, progress)
        if not torch.isfinite(values["loss"]):
            raise FloatingPointError(f"The loss of step {trainee.step} is {values['loss'].item()}.")
        norm = trainee.update(values["loss"], config.rate(trainee.step, progress), config)
        trainee.seconds = trainee.peers.agree(trainee.seconds + time.perf_counter() - started)
        if not trainee.peers.first:
            continue
        log.add(trainee, {name: float(value.detach()) for name, value in values.items()} | {"norm": norm})
        if trainee.seconds - saved > 60 * config.checkpoint_minutes:
            trainee.save(checkpoint)
            saved = trainee.seconds
    if trainee.peers.first:
        log.write(trainee)
        trainee.save(checkpoint)
