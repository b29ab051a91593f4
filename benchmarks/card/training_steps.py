"""Steps of the second stage of training, as ``bench train`` takes them, with as many layers as the card holds."""

from argparse import Namespace
from dataclasses import replace

import torch

from uniavgen_core.config import RELEASED
from uniavgen_core.training.estimate import estimate

from .. import train
from .findings import Findings
from .scale import Run

SHARE = 0.9
"""Share of the free memory that a training may be estimated to take; the rest is for workspaces."""
VALUES = (
    "layers", "parameters", "tokens_per_second", "step_seconds", "tflop_per_second", "peak_tflop_per_second", "mfu",
    "hardware_share", "peak_memory_gb", "estimated_memory_gb", "first_loss", "last_loss",
)  # fmt: skip


def measure(findings: Findings, run: Run) -> None:
    """Train, and keep what ``bench train`` reports; every step is in the part's log too."""
    layers, side, frames = run.scale.train or (layers_that_fit(), None, None)
    if layers < RELEASED.num_layers:
        findings.note(f"Trained are {layers} of {RELEASED.num_layers} layers, and the time of a step is theirs.")
    options = Namespace(steps=run.scale.train_steps, layers=layers, side=side, frames=frames)
    results = train.measure(options)
    width, height, video_frames = results["size"]
    row = f"{width}x{height}x{video_frames}, {results['dtype']}, {results['steps']} steps"
    findings.add("training, stage 2", row, {name: results[name] for name in VALUES})


def layers_that_fit() -> int:
    """Most layers whose training the free memory holds by the estimate; at least two."""
    free, _ = torch.cuda.mem_get_info()
    share = train.WHOLE.dtype.itemsize / 4
    for layers in range(RELEASED.num_layers, 2, -2):
        size = replace(train.WHOLE, layers=layers)
        if estimate(size.run).total * share <= SHARE * free:
            return layers
    return 2
