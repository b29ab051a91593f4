"""The contract between a trainer and what it trains on: which examples of a step one process computes.

Everything random comes from (seed, step, example), so a result does not depend on how many processes share a batch, and
a resumed run repeats exactly.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn


@dataclass(frozen=True)
class Part:
    """The examples of one optimiser step that one process computes at once.

    Attributes:
        step: The optimiser step.
        first: Index of the first example within the step's whole batch.
        count: Number of examples.
    """

    step: int
    first: int
    count: int

    def shared(self, seed: int) -> np.random.Generator:
        """A generator that is the same for every part of the step: for the task, sizes, the bucket."""
        return np.random.default_rng([seed, self.step])

    def own(self, seed: int) -> list[np.random.Generator]:
        """One generator for each example, from (seed, step, index of the example): for its clip, noise, dropout."""
        # Index 0 would give the shared generator again: numpy fills short seeds with zeros.
        return [np.random.default_rng([seed, self.step, 1 + self.first + i]) for i in range(self.count)]

    def thinned(self, factor: int) -> "Part":
        """The part of a batch with ``factor`` times fewer examples, for steps whose examples are that much larger.

        Raises:
            ValueError: If the part's examples do not divide.
        """
        if self.first % factor or self.count % factor:
            raise ValueError(
                f"A part of {self.count} examples from {self.first} on does not divide by {factor}. "
                "Take fewer processes or less accumulation."
            )
        return Part(self.step, self.first // factor, self.count // factor)


Losses = Callable[[nn.Module, Part, float], Mapping[str, Tensor]]
"""(model, part, progress in [0, 1)) to means over the part's examples, by name; ``loss`` is what is minimised."""
