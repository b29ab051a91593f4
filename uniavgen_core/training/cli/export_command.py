"""Write a checkpoint's averaged weights as one file that the loader nodes take, or its adapters as a LoRA."""

import argparse
import json
import sys
from pathlib import Path

import torch

from ...atomic_write import atomic_write
from ...checkpoint.config_from_weights import KNOWN_TEXT_KEY
from ...checkpoint.load_weights import save_weights
from ...layers.uninitialized import uninitialized
from ...model.joint import JointModel
from ..checkpoint_weights import averaged_weights
from ..checkpoints import Checkpoints
from ..lora import save_lora
from ..prepare_run import read_metadata, read_note

SUMMARY = "a checkpoint's averaged weights as one safetensors file"
DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="uniavgen_core.training export", description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="a folder step-..., or a run's, whose newest whole one is taken")
    parser.add_argument("--out", type=Path, required=True, help="the safetensors file to write")
    parser.add_argument("--dtype", choices=list(DTYPES), default="bfloat16", help="of the weights in the file")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """Write the file.

    Returns:
        0, or 2 for bad input.
    """
    options = parse(arguments)
    try:
        checkpoint = find_checkpoint(options.checkpoint)
        export(checkpoint, options.out, DTYPES[options.dtype])
    except (ImportError, OSError, ValueError) as error:
        print(error, file=sys.stderr)  # noqa: T201 - a command line talks
        return 2
    result = {"checkpoint": str(checkpoint), "out": str(options.out)}
    print(json.dumps(result) if options.json else f"{checkpoint} -> {options.out}")  # noqa: T201
    return 0


def find_checkpoint(path: Path) -> Path:
    """The checkpoint a path names: itself, or the newest whole one of a run.

    Raises:
        ValueError: If there is none.
    """
    if path.name.startswith("step-"):
        return path
    newest = Checkpoints(path, 1).newest()
    if newest is None:
        raise ValueError(f"{path} holds no whole checkpoint.")
    return newest


def export(checkpoint: Path, out: Path, dtype: torch.dtype) -> None:
    """Write a checkpoint's averaged weights; of a run that trained adapters, the adapters.

    Raises:
        ValueError: If the checkpoint is damaged, or its run does not say what network it trains.
    """
    config, plan = read_note(checkpoint.parent)
    weights = averaged_weights(checkpoint)
    out.parent.mkdir(parents=True, exist_ok=True)
    if plan is not None:
        with uninitialized():
            model = JointModel(config)
        save_lora(model, out, plan, weights, read_metadata(checkpoint.parent))
        return
    knows = {KNOWN_TEXT_KEY: "{}"}  # It was taught the words of other data.
    with atomic_write(out) as partial:
        save_weights(weights, config, partial, dtype, read_metadata(checkpoint.parent) | knows)
