"""An exponential average of the weights, which samples better than the weights themselves."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from .sharded_tensors import read_into, write_shards

FOLDER = "average"


class Average:
    """Averages of all weights in training and of all floating-point buffers, sharded where those are.

    Attributes:
        decay: Share of the average that stays at each step; smaller in the first steps.
        values: The averages by name.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = model
        self.decay = decay
        self.values = {name: value.clone() for name, value in self._current().items()}

    def _current(self) -> dict[str, Tensor]:
        weights = {name: value for name, value in self.model.named_parameters() if value.requires_grad}
        buffers = {name: value for name, value in self.model.named_buffers() if value.is_floating_point()}
        return {name: value.detach() for name, value in (weights | buffers).items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move the averages towards the weights after step number ``step``, counted from 0."""
        decay = min(self.decay, (step + 1) / (step + 10))
        get_ema_multi_avg_fn(decay)(list(self.values.values()), list(self._current().values()), None)

    @contextmanager
    def swapped_in(self) -> Iterator[nn.Module]:
        """The model with the averages as its weights, for as long as the context lasts."""
        current = self._current()
        own = {name: value.clone() for name, value in current.items()}
        try:
            _copy(self.values, current)
            yield self.model
        finally:
            _copy(own, current)

    def save(self, folder: Path) -> None:
        """Write the averages into a checkpoint; every process takes part."""
        write_shards(folder / FOLDER, self.values)

    def load(self, folder: Path) -> None:
        """Go on from averages that ``save`` wrote, by any number of processes."""
        read_into(folder / FOLDER, self.values)


@torch.no_grad()
def _copy(source: dict[str, Tensor], target: dict[str, Tensor]) -> None:
    for name, value in source.items():
        target[name].copy_(value)
