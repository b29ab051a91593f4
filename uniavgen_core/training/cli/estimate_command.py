"""Estimate memory and time of a training run before it starts."""

import json
import sys
from argparse import ArgumentParser, BooleanOptionalAction, Namespace
from dataclasses import replace
from pathlib import Path

from ...checkpoint.config_from_weights import config_from_shapes
from ...checkpoint.weight_files import WeightFiles
from ...config import ModelConfig, to_dict
from ...shapes import AVShape
from ..distill.distill_config import STUDENT_PLAN, DistillConfig, Method
from ..estimate import DEVICES, Device, Estimate, RunSize, estimate, table
from ..lora import LoraBranch, LoraPlan
from ..plugins import model_config_of
from ..run_config import DISTILL_STAGE, STAGES

SUMMARY = "memory and time of a run, before it starts"
NAMES = {"1": "speech", "2": "joint", "3": "tasks", DISTILL_STAGE: DISTILL_STAGE}
"""Stages by the paper's number, and the distillation."""


def parser() -> ArgumentParser:
    """Describe the command line."""
    root = ArgumentParser(prog="python -m uniavgen_core.training estimate", description=__doc__)
    root.add_argument("--model", default="released", help="released, toon, or a UniAVGen checkpoint")
    root.add_argument("--stage", default="2", choices=tuple(NAMES), help="of the paper's three, or distillation")
    root.add_argument("--size", default="736x736", metavar="WxH", help="frame size, pixels, multiples of 32")
    root.add_argument("--frames", type=int, default=81, help="video frames of a clip, 4n + 1")
    root.add_argument("--batch", type=int, help="examples of a step, over all devices; the stage's by default")
    root.add_argument("--steps", type=int, help="length of the run; the stage's by default")
    root.add_argument("--devices", type=int, default=8, help="number of devices")
    root.add_argument("--accumulation", type=int, default=1, help="parts that a device computes in turn")
    root.add_argument("--precision", default="bf16", choices=("bf16", "no"), help="of matrix products")
    root.add_argument("--fsdp", action="store_true", help="spread weights and optimizer over the devices")
    root.add_argument("--checkpointing", action="store_true", help="compute activations again instead of keeping them")
    root.add_argument("--average", action=BooleanOptionalAction, default=True, help="keep averaged weights")
    root.add_argument("--muon", action="store_true", help="train the blocks' matrices by Muon")
    root.add_argument("--lora", choices=[branch.value for branch in LoraBranch], help="train adapters of this branch")
    root.add_argument("--lora-interactions", action="store_true", help="and of cross-modal attention")
    root.add_argument("--rank", type=int, help="rank of adapters; the stage's by default")
    root.add_argument("--method", default=DistillConfig.method.value, choices=[each.value for each in Method],
        help="of distillation")  # fmt: skip
    root.add_argument("--passes", type=int, default=DistillConfig.passes, help="of a distilled student")
    root.add_argument("--device", default="h100", choices=[*DEVICES, "unknown"], help="what it runs on")
    root.add_argument("--mfu", type=float, help="share of the device's peak it will reach, if you measured it")
    root.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    return root


def main(arguments: list[str]) -> int:
    """Print the estimate; returns the exit status."""
    options = parser().parse_args(arguments)
    try:
        result = estimate(run_of(options), device_of(options))
    except (ValueError, ImportError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        if options.json:
            sys.stdout.write(json.dumps({"error": str(error)}) + "\n")
        return 2
    sys.stdout.write(table(result) + "\n")
    if options.json:
        sys.stdout.write(json.dumps(report(result)) + "\n")
    return 0


def run_of(options: Namespace) -> RunSize:
    """Build the run that the command line describes.

    Raises:
        ValueError: If a size is malformed or impossible.
    """
    width, cross, height = options.size.partition("x")
    if not (cross and width.isdecimal() and height.isdecimal()):
        raise ValueError(f"--size is {options.size}; write it as width x height in pixels, such as 736x736.")
    stage, distilled = STAGES[NAMES[options.stage]], options.stage == DISTILL_STAGE
    return RunSize(
        model=_config(options.model),
        shape=AVShape(int(width), int(height), options.frames),
        stage=stage.number,
        batch=stage.batch if options.batch is None else options.batch,
        devices=options.devices,
        accumulation=options.accumulation,
        half=options.precision == "bf16",
        sharded=options.fsdp,
        recomputed=options.checkpointing,
        averaged=options.average,
        muon=options.muon,
        lora=_plan(options),
        distillation=DistillConfig(Method(options.method), options.passes) if distilled else None,
        steps=stage.steps if options.steps is None else options.steps,
    )


def _plan(options: Namespace) -> LoraPlan | None:
    """Adapters of the command line; a student always has some."""
    if options.stage == DISTILL_STAGE:
        plan = STUDENT_PLAN
        branch = LoraBranch(options.lora) if options.lora else plan.branch
    elif options.lora:
        plan, branch = LoraPlan(interactions=options.lora_interactions), LoraBranch(options.lora)
    else:
        return None
    rank = plan.rank if options.rank is None else options.rank
    return replace(plan, branch=branch, rank=rank, alpha=float(rank))


def device_of(options: Namespace) -> Device | None:
    """Choose the device, with the given share of its peak."""
    device = DEVICES.get(options.device)
    return replace(device, share=options.mfu) if device and options.mfu is not None else device


def report(result: Estimate) -> dict:
    """Convert the estimate to plain values in bytes and seconds."""
    return {**to_dict(result), "total": result.total, "fits": result.fits}


def _config(name: str) -> ModelConfig:
    if name.isidentifier():
        return model_config_of(name)
    files = WeightFiles(Path(name))
    return config_from_shapes(files.shapes, files.metadata)
