"""Steps of the second stage of training, as ``bench train`` takes them, with as many layers as the card holds."""

from dataclasses import replace

import torch

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
    size = run.scale.train or largest()
    if size.layers < size.network.num_layers:
        findings.note(
            f"Trained are {size.layers} of {size.network.num_layers} layers, and the time of a step is theirs."
        )
    results = train.measure_size(size, torch.device(run.scale.device))
    width, height, video_frames = results["size"]
    row = f"{width}x{height}x{video_frames}, {results['dtype']}, {results['steps']} steps"
    findings.add("training, stage 2", row, {name: results[name] for name in VALUES})


def largest() -> train.TrainSize:
    """Training of the most layers that the free memory holds by the estimate, at least two."""
    free, _ = torch.cuda.mem_get_info()
    whole, share = train.WHOLE, train.WHOLE.dtype.itemsize / 4
    sizes = [replace(whole, layers=layers) for layers in range(whole.network.num_layers, 2, -2)]
    fitting = (size for size in sizes if estimate(size.run).total * share <= SHARE * free)
    return next(fitting, replace(whole, layers=2))
