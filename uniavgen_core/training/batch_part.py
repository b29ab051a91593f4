"""The examples of a step that one process computes, and the loader that reads them ahead of the device.

Everything random comes from (seed, step, example), so a result depends neither on how many processes share a batch nor
on how many workers read it, and a resumed run repeats exactly.
"""

import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset


@dataclass(frozen=True)
class Part:
    """Examples of one optimiser step that one process computes at once.

    Attributes:
        step: The optimiser step.
        first: Index of the first example within the step's whole batch.
        count: Number of examples.
        progress: Share of the run that lies before the step, in [0, 1).
    """

    step: int
    first: int
    count: int
    progress: float = 0.0

    def shared(self, seed: int) -> np.random.Generator:
        """Generator that is the same for every part of the step: for the task, the sizes, the bucket."""
        return np.random.default_rng([seed, self.step])

    def own(self, seed: int) -> list[np.random.Generator]:
        """Generators of the examples, from (seed, step, index of the example): for clip, noise and dropout."""
        # Index 0 would give the shared generator again: numpy fills short seeds with zeros.
        return [np.random.default_rng([seed, self.step, 1 + self.first + i]) for i in range(self.count)]

    def thinned(self, factor: int) -> "Part":
        """Part of a batch with ``factor`` times fewer examples, for steps whose examples are that much larger.

        Raises:
            ValueError: If the part's examples do not divide.
        """
        if self.first % factor or self.count % factor:
            raise ValueError(
                f"A part of {self.count} examples from {self.first} on does not divide by {factor}. "
                "Take fewer processes or less accumulation."
            )
        return Part(self.step, self.first // factor, self.count // factor, self.progress)


@dataclass(frozen=True)
class Objective:
    """Batches and losses that a trainer minimises.

    Attributes:
        data: Batches by ``Part``, ready on the CPU; they may be made in other processes.
        losses: (model, batch on the device, progress in [0, 1)) to means over the batch's examples, by name; ``loss``
            is minimised.
    """

    data: Dataset[Any]
    losses: Callable[[nn.Module, Any, float], Mapping[str, Tensor]]


def load_parts(data: Dataset[Any], parts: Iterable[Part], workers: int, pinned: bool) -> Iterator[Any]:
    """Batches of some parts, in their order, made ahead of time by worker processes.

    Args:
        data: Batches by ``Part``.
        parts: The parts.
        workers: Processes that make batches; 0 makes each one here when it is asked for.
        pinned: Whether batches are copied to pinned memory, for a device that reads it while it computes.
    """
    loader = DataLoader(
        data,
        batch_size=None,  # An item is a whole batch already.
        sampler=parts,
        num_workers=workers,
        collate_fn=_as_it_is,
        pin_memory=pinned,
        worker_init_fn=_leave_signals_to_the_trainer,
    )
    return iter(loader)


def _as_it_is(batch: Any) -> Any:
    return batch


def _leave_signals_to_the_trainer(worker: int) -> None:
    """Ignore Ctrl-C and SIGTERM: they reach a whole group of processes, and the trainer still finishes its step."""
    del worker
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
