"""The display and log of a run: a progress bar, a log of JSON lines, TensorBoard, and samples."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..atomic_write import atomic_write
from .engine import TRACKER
from .sample_clips import Sample, show_in_tensorboard, write_mp4
from .trainer_config import TrainerConfig

if TYPE_CHECKING:
    from accelerate import Accelerator

LOG = "log.jsonl"


class Monitor:
    """Collects the values of steps and writes their means; a value may be absent from some steps.

    Every process adds the values of its own part; the first one writes the means over all.
    """

    def __init__(self, accelerator: "Accelerator", config: TrainerConfig) -> None:
        self.accelerator = accelerator
        self.config = config
        self.path = config.home / LOG
        self.fresh: list[dict[str, Tensor]] = []
        self.values: dict[str, list[float]] = {}
        self.seconds_logged = 0.0
        self.bar: Any = None

    def open(self, step: int, seconds: float) -> None:
        """Begin at ``step``; lines and entries of later steps, which will be taken again, are dropped."""
        from tqdm import tqdm

        self.seconds_logged = seconds
        if self.accelerator.is_main_process:
            drop_lines_after(self.path, step)
        self.accelerator.init_trackers(TRACKER, init_kwargs={TRACKER: {"purge_step": step + 1}})
        hidden = not (self.config.bar and self.accelerator.is_main_process)
        total = self.config.steps
        self.bar = tqdm(total=total, initial=step, desc=self.config.name, disable=hidden, file=sys.stderr)

    def close(self) -> None:
        """Write out what trackers still hold."""
        self.bar.close()
        for tracker in self.accelerator.trackers:
            tracker.finish()
        self.accelerator.trackers = []

    def add(self, losses: Mapping[str, Tensor], loss: float) -> None:
        """Note the losses of one step of this process, and the loss of all."""
        self.fresh.append(dict(losses))
        self.bar.update()
        self.bar.set_postfix(loss=f"{loss:.4f}", refresh=False)

    def state(self) -> dict[str, list[float]]:
        """Values that are noted but not yet written, means of all processes; every process takes part."""
        if self.fresh:
            flat = [(name, value) for losses in self.fresh for name, value in losses.items()]
            means: Any = self.accelerator.reduce(torch.stack([value.double() for _, value in flat]), "mean")
            for (name, _), mean in zip(flat, means.tolist(), strict=True):
                self.values.setdefault(name, []).append(mean)
            self.fresh = []
        return self.values

    def write(self, step: int, seconds: float, more: Mapping[str, float]) -> None:
        """Write the means since the last line, if anything was noted; every process takes part.

        Args:
            step: Steps taken.
            seconds: Seconds of training so far.
            more: Further numbers: the last step's, not means.
        """
        values = self.state()
        steps = len(values.get("loss", ()))
        if not steps:
            return
        line = {name: sum(column) / len(column) for name, column in values.items()} | dict(more)
        line["examples_per_second"] = steps * self.config.batch / max(seconds - self.seconds_logged, 1e-9)
        self.values, self.seconds_logged = {}, seconds
        self.accelerator.log(line, step=step)
        if self.accelerator.is_main_process:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": step, "seconds": round(seconds, 3), **line}) + "\n")

    def show(self, samples: Sequence[Sample], step: int) -> None:
        """Write samples as files, and to TensorBoard where it is there."""
        if not self.accelerator.is_main_process:
            return
        folder = self.config.home / "samples" / f"step-{step:08d}"
        folder.mkdir(parents=True, exist_ok=True)
        for sample in samples:
            write_mp4(folder / f"{sample.name}.mp4", sample)
            for tracker in self.accelerator.trackers:
                show_in_tensorboard(tracker.tracker, sample, step)


def drop_lines_after(path: Path, step: int) -> None:
    """Keep the lines of a log up to ``step``; a line cut short by a crash goes too."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["step"] > step:
                break
        except ValueError:
            break
        kept.append(line + "\n")
    with atomic_write(path) as partial:
        partial.write_text("".join(kept), encoding="utf-8")
