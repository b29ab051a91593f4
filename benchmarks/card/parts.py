"""The parts of the measurement in order of worth, and the time that each of them gets."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

MARGIN = 5.0
"""Seconds between the time at which a part should end by itself and the time at which it is stopped."""


@dataclass(frozen=True)
class Part:
    """One part of the measurement.

    Attributes:
        name: Name on the command line and in the results.
        module: Module of this package with ``measure(findings, run)``.
        most: Most seconds that it may take.
        least: Fewest seconds in which it finds anything; with less it is not started.
        about: Description for the plan and the results.
        needs: Packages beside PyTorch and the standard library.
        limit_gib: Memory of the smaller card whose place this one takes, GiB; None for all of its memory.
        loads: Whether ComfyUI loads models, for which it has two kinds of memory management.
    """

    name: str
    module: str
    most: float
    least: float
    about: str
    needs: tuple[str, ...] = ("comfy_kitchen", "comfy_aimdo")
    limit_gib: int | None = None
    loads: bool = False

    @property
    def missing(self) -> list[str]:
        """Packages that it needs and that are not installed."""
        return [name for name in self.needs if find_spec(name) is None]


_HOSTED = ("comfy_kitchen", "comfy_aimdo", "transformers", "sentencepiece", "einops", "safetensors")


def _memory(limit: int) -> Part:
    about = f"the same clip with {limit} GiB of the card's memory, under ComfyUI's own offloading"
    return Part(f"memory-{limit}", "clip", 240, 90, about, _HOSTED, limit, loads=True)


PARTS = (
    Part("parity", "parity", 90, 15, "the release's recorded passes and runs: float32, bfloat16, kernels on and off"),
    Part("step", "step", 150, 30, "one sampling step in bfloat16 and scaled fp8, against floor and ComfyUI's Wan2.2"),
    Part(
        "clip", "clip", 330, 90, "a whole clip at the released size from seeded weights: 4, 12 and 50 steps", _HOSTED,
        loads=True,
    ),
    Part("compiled", "compiled", 240, 60, "the step with compiled layers, against the same step without"),
    *map(_memory, (24, 16, 12, 8)),
    Part("train", "training_steps", 150, 45, "twenty steps of the second stage of training", ("einops",)),
    Part("toon", "toon_samples", 60, 15, "samples of the bundled model, against those of the CPU", ("safetensors",)),
)  # fmt: skip


def chosen_parts(names: Sequence[str]) -> list[Part]:
    """Parts by name in the order of worth; ``memory`` stands for all limits, and no names stand for all parts.

    Raises:
        ValueError: If there is no part of a name.
    """
    known = {part.name for part in PARTS} | {part.name.split("-")[0] for part in PARTS}
    unknown = sorted(set(names) - known)
    if unknown:
        raise ValueError(f"There is no part {', '.join(unknown)}; there are {', '.join(part.name for part in PARTS)}.")
    return [part for part in PARTS if not names or {part.name, part.name.split("-")[0]} & set(names)]


def seconds_for(part: Part, left: float, patience: float = 1.0) -> float | None:
    """Time limit of a part; None if too little time is left for it.

    A part gets the most it may take, and what it does not use is left to the parts after it.

    Args:
        part: The part.
        left: Seconds that are left of the whole.
        patience: Factor of the most that a part may take.
    """
    return min(part.most * patience, left) if left >= part.least else None


def planned(parts: Sequence[Part], minutes: float) -> list[tuple[Part, float | None]]:
    """Parts with their time limits if each of them takes all of its time."""
    left, plan = minutes * 60, []
    for part in parts:
        seconds = seconds_for(part, left)
        plan.append((part, seconds))
        left -= seconds or 0
    return plan
