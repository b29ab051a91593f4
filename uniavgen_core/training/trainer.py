"""The trainer: steps on one process or many, an averaged copy of the weights, exact resuming, a log.

Everything random comes from (seed, step, example), so the run is the same however a batch is divided, however many
workers read it, and whenever it is broken off and resumed.
"""

import json
import pickle
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.optim import Optimizer

from .batch_part import Objective, load_parts
from .checkpoints import Checkpoints
from .engine import EngineConfig, make_accelerator, name_units
from .flow_matching import to_device
from .interrupts import Interrupt, catch_interrupts
from .monitor import Monitor
from .optimizer import start_states
from .sample_clips import Sampler
from .shard_metadata import check_all_shards
from .trainer_config import TrainerConfig
from .weight_average import Average

if TYPE_CHECKING:
    from accelerate import Accelerator

STATE = "trainer.json"
UNREADABLE = (
    pickle.UnpicklingError, SafetensorError, AttributeError, EOFError, LookupError, OSError, RuntimeError, TypeError,
    ValueError,
)  # fmt: skip
"""Errors with which libraries end on a checkpoint whose hashes are right and whose content is not."""


class ModelWithLosses(nn.Module):
    """A model and its losses as one module, so that the engine wraps all that a step computes as one forward pass."""

    def __init__(self, model: nn.Module, losses: Callable[[nn.Module, Any, float], Mapping[str, Tensor]]) -> None:
        super().__init__()
        self.model = model
        self.losses = losses

    def forward(self, batch: Any, progress: float) -> dict[str, Tensor]:
        """Compute the losses of a batch; all but ``loss`` are for the log."""
        losses = self.losses(self.model, batch, progress)
        return {name: value if name == "loss" else value.detach() for name, value in losses.items()}


class Trainer:
    """A run in progress.

    Attributes:
        model: The network in training.
        average: Its averaged weights; None for none.
        step: Steps taken.
        seconds: Seconds of training, over all resumed parts.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizers: Sequence[Optimizer],
        objective: Objective,
        config: TrainerConfig,
        accelerator: "Accelerator | None" = None,
        sampler: Sampler | None = None,
    ) -> None:
        self.config = config
        self.accelerator = accelerator or make_accelerator(EngineConfig("no"), config.home, config.accumulation)
        self.sampler = sampler
        config.part(0, 0, 0, self.accelerator.num_processes)
        if self.accelerator.is_fsdp2 and len(optimizers) > 1:
            raise ValueError("Shards are trained by one optimizer; Accelerate saves no more.")
        if self.accelerator.is_fsdp2:
            name_units(self.accelerator, model)
        self.peaks = [[group["lr"] for group in optimizer.param_groups] for optimizer in optimizers]
        self.data = objective.data
        joined = ModelWithLosses(model, objective.losses)
        self.module, *self.optimizers = self.accelerator.prepare(joined, *optimizers)
        if self.accelerator.is_fsdp2:
            start_states(self.optimizers[0])
        self.model = self.accelerator.unwrap_model(self.module).model
        self.average = None if config.average is None else Average(self.model, config.average)
        self.checkpoints = Checkpoints(config.home, config.keep)
        self.monitor = Monitor(self.accelerator, config)
        self.step = 0
        self.seconds = 0.0
        self.last: dict[str, float] = {}

    def run(self) -> bool:
        """Train to the end, or until an interrupt; resumes the newest whole checkpoint if there is one.

        Returns:
            Whether the end was reached.

        Raises:
            FloatingPointError: If a loss or a gradient is not finite.
        """
        self.config.home.mkdir(parents=True, exist_ok=True)
        self._resume()
        self.monitor.open(self.step, self.seconds)
        saved, asked = self.step, False
        with catch_interrupts() as interrupt:
            batches = self._batches()
            while self.step < self.config.steps and not asked:
                asked = self._take_step(batches, interrupt)
                if self.step % self.config.checkpoint_every == 0:
                    self._save()
                    saved = self.step
                if self.sampler and self.config.sample_every and self.step % self.config.sample_every == 0:
                    self._sample(self.sampler)
            if saved != self.step:
                self._save()
        if not asked:
            self._log()
        self.monitor.close()
        return self.step == self.config.steps

    def _batches(self) -> Iterator[Any]:
        """Batches of this process from the next step on, read ahead."""
        place = (self.accelerator.process_index, self.accelerator.num_processes)
        parts = self.config.parts(self.step, *place)
        return load_parts(self.data, parts, self.config.workers, self.accelerator.device.type == "cuda")

    def _take_step(self, batches: Iterator[Any], interrupt: Interrupt) -> bool:
        """Take one step; returns whether any process was asked to end."""
        started, config = time.perf_counter(), self.config
        progress = self.step / config.steps
        rate = config.rate(self.step)
        for optimizer, peaks in zip(self.optimizers, self.peaks, strict=True):
            optimizer.zero_grad()
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["lr"] = peak * rate
        losses = self._backward(batches, progress)
        norm: Any = self.accelerator.clip_grad_norm_(self.module.parameters(), config.clip)
        norm = float(norm.full_tensor() if hasattr(norm, "full_tensor") else norm)
        loss, asked = self._agree(losses["loss"], interrupt.asked)
        if not torch.isfinite(torch.tensor([loss, norm])).all():
            raise FloatingPointError(f"Step {self.step} has a loss of {loss} and a gradient of norm {norm}.")
        for optimizer in self.optimizers:
            optimizer.step()
        if self.average:
            self.average.update(self.step)
        self.step += 1
        self.seconds += time.perf_counter() - started
        self.last = {"norm": norm, "rate": rate}
        self.monitor.add(losses, loss)
        if self.step % config.log_every == 0:
            self._log()
        return asked

    def _backward(self, batches: Iterator[Any], progress: float) -> dict[str, Tensor]:
        """Add up the gradients of this process's parts; returns the means of their losses."""
        totals: dict[str, Tensor] = {}
        for _ in range(self.config.accumulation):
            batch = to_device(next(batches), self.accelerator.device)
            with self.accelerator.accumulate(self.module):
                with self.accelerator.autocast():
                    losses = self.module(batch, progress)
                self.accelerator.backward(losses["loss"])
            for name, value in losses.items():
                totals[name] = totals.get(name, 0) + value.detach() / self.config.accumulation
        return totals

    def _agree(self, loss: Tensor, asked: bool) -> tuple[float, bool]:
        """The loss of all processes, and whether any was asked to end: all must end together."""
        both = torch.stack([loss.double(), torch.full_like(loss, asked, dtype=torch.float64)])
        means: Any = self.accelerator.reduce(both, "mean")
        mean_loss, share_asked = means.tolist()
        return mean_loss, share_asked > 0

    def _log(self) -> None:
        self.monitor.write(self.step, self.seconds, self.last)

    def _sample(self, sampler: Sampler) -> None:
        """Every process samples, since weights may be spread over them; the first one keeps the samples."""
        training = self.model.training
        self.model.eval()
        averaged = self.average.swapped_in() if self.average else nullcontext(self.model)
        with torch.no_grad(), self.accelerator.autocast(), averaged as model:
            samples = sampler(model)
        self.model.train(training)
        self.monitor.show(samples, self.step)

    def _save(self) -> None:
        """Write a checkpoint; every process takes part."""
        state = {"step": self.step, "seconds": self.seconds, "noted": self.monitor.state()}
        partial = [str(self.checkpoints.begin(self.step)) if self.accelerator.is_main_process else None]
        folder = Path(str(self._from_first(partial)))
        self.accelerator.save_state(str(folder))
        if self.average:
            self.average.save(folder)
        if self.accelerator.is_main_process:
            (folder / STATE).write_text(json.dumps(state), encoding="utf-8")
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            self.checkpoints.finish(self.step)
        self.accelerator.wait_for_everyone()

    def _resume(self) -> None:
        """Go on from the newest whole checkpoint, if there is one.

        Raises:
            ValueError: If it is of another model, or holds anything but tensors; names it.
        """
        newest = self.checkpoints.newest() if self.accelerator.is_main_process else None
        newest = self._from_first([None if newest is None else str(newest)])
        if newest is None:
            return
        folder = Path(newest)
        try:
            check_all_shards(folder)
            self.accelerator.load_state(str(folder))
            if self.average:
                self.average.load(folder)
            state = json.loads((folder / STATE).read_text(encoding="utf-8"))
            self.step, self.seconds, self.monitor.values = int(state["step"]), float(state["seconds"]), state["noted"]
        except UNREADABLE as error:
            raise ValueError(
                f"The checkpoint {folder} cannot be resumed: {error}. It may be of another model or another version; "
                "give the run another name, or move the checkpoint away."
            ) from error

    def _from_first(self, values: list[str | None]) -> str | None:
        """Send the first process's value to every process."""
        from accelerate.utils import broadcast_object_list

        return broadcast_object_list(values)[0]
