"""Length of a run, its division among processes, and the checkpoints it keeps."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .batch_part import Part


@dataclass(frozen=True)
class TrainerConfig:
    """Length of a run, its division, and the checkpoints it keeps.

    Attributes:
        folder: Where runs lie.
        name: Of the run, a folder in there; checkpoints found in it are resumed.
        steps: Length in optimiser steps: minutes would not repeat exactly.
        batch: Examples in a step, over all processes and parts.
        accumulation: Parts that one process computes in turn before a step.
        warmup: Steps over which the learning rate rises.
        fall: Power by which the learning rate falls to zero with progress; 0 holds it.
        average: Decay of the averaged weights per step; None for no average.
        clip: Largest norm of the gradient.
        log_every: Steps between two lines of the log.
        checkpoint_every: Steps between two checkpoints.
        keep: Checkpoints that are kept, the newest.
        sample_every: Steps between two rounds of samples; 0 for none.
        bar: Whether a progress bar is shown.
        workers: Processes that read and prepare the following batches while a step is computed, for each process of
            training; each keeps its own cache of clips. 0 prepares every batch between two steps.

    Raises:
        ValueError: If a length is not positive, or a batch cannot be divided.
    """

    folder: Path
    name: str
    steps: int
    batch: int = 16
    accumulation: int = 1
    warmup: int = 50
    fall: float = 0.7
    average: float | None = 0.995
    clip: float = 1.0
    log_every: int = 20
    checkpoint_every: int = 200
    keep: int = 2
    sample_every: int = 0
    bar: bool = True
    workers: int = 2

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "accumulation", "log_every", "checkpoint_every", "keep"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1.")
        if self.workers < 0:
            raise ValueError(f"workers is {self.workers}; it must be 0 or more.")
        if self.average is not None and not 0 <= self.average < 1:
            raise ValueError(f"average is {self.average}; it is a decay in [0, 1), or none.")

    @property
    def home(self) -> Path:
        """Folder of the run."""
        return self.folder / self.name

    def rate(self, step: int) -> float:
        """Factor on every learning rate."""
        return min(1.0, (step + 1) / max(1, self.warmup)) * (1 - step / self.steps) ** self.fall

    def part(self, step: int, turn: int, rank: int, processes: int) -> Part:
        """Examples that process ``rank`` computes in its ``turn``-th part of a step.

        Raises:
            ValueError: If the batch does not divide.
        """
        count, rest = divmod(self.batch, processes * self.accumulation)
        if rest or not count:
            raise ValueError(
                f"A batch of {self.batch} does not divide among {processes} processes with {self.accumulation} parts "
                "each."
            )
        return Part(step, (turn * processes + rank) * count, count, step / self.steps)

    def parts(self, start: int, rank: int, processes: int) -> Iterator[Part]:
        """Yield all that process ``rank`` computes from step ``start`` on, in its order."""
        for step in range(start, self.steps):
            for turn in range(self.accumulation):
                yield self.part(step, turn, rank, processes)
