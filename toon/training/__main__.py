"""Train the bundled model from seeds: ``python dev.py bundle --work DIR``, or one stage of it."""

import argparse
import json
import sys
import time
from pathlib import Path

import torch

from uniavgen_core.config import GuidanceConfig
from uniavgen_core.training.launch import INTERRUPTED, Stopped

from .recipe import Recipe
from .recipe_stages import STAGES

WORK = Path("output/bundle")
UNTRAINED = ("speech", "clips", "scenes", "pack")


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="dev.py bundle", description=__doc__)
    parser.add_argument("--stage", choices=list(STAGES), help="only this one")
    parser.add_argument("--work", type=Path, default=WORK, help="folder for clips, checkpoints, logs; resumed if there")
    parser.add_argument("--from", type=Path, dest="shipped", help="model file to start from, if no stage has run")
    parser.add_argument("--lively", action="store_true", help="toons of the lively world")
    parser.add_argument(
        "--learn-guidance", type=float, nargs=2, metavar=("VIDEO", "AUDIO"),
        help="guidance scales for the stages from tasks to settle to learn; sampling then needs no null pass",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="seed of weights, batches and noise")
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies the steps of every stage")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads and clip-making processes")
    parser.add_argument("--eager", action="store_true", help="compile nothing: needs no C++ compiler, but is slower")
    parser.add_argument("--gpu", action="store_true", help="train on the GPU instead of the CPU")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    options = parser.parse_args(arguments)
    if options.learn_guidance is not None and min(options.learn_guidance) <= 0:
        parser.error("--learn-guidance takes positive scales")
    if options.scale <= 0:
        parser.error(f"--scale is {options.scale}; it must be positive")
    if options.gpu and not torch.cuda.is_available():
        parser.error("PyTorch finds no GPU; leave --gpu out to train on the CPU")
    if options.scale != 1 and options.stage in UNTRAINED:
        parser.error(f"{options.stage} takes no steps; --scale is for training")
    return options


def recipe_of(options: argparse.Namespace) -> Recipe:
    """The recipe the command line asks for."""
    recipe = Recipe(
        options.work,
        seed=options.seed,
        workers=options.threads,
        threads=options.threads,
        processes=1 if options.gpu else min(2, options.threads),
        compiled=not options.eager,
        accelerated=options.gpu,
        shipped=options.shipped,
        lively=options.lively,
        guidance=None if options.learn_guidance is None else GuidanceConfig(*options.learn_guidance, skip_layer=None),
    )
    return recipe.scaled(options.scale)


def main(arguments: list[str]) -> int:
    """Run the chosen stages and say where the results lie.

    Returns:
        0, or 130 if training was interrupted.
    """
    options = parse(arguments)
    recipe = recipe_of(options)
    recipe.work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(recipe.threads)
    seconds = {}
    for stage in [options.stage] if options.stage else STAGES:
        started = time.perf_counter()
        print(f"{stage} ...", file=sys.stderr, flush=True)  # noqa: T201 - a command line talks
        try:
            STAGES[stage](recipe)
        except Stopped:
            print("Stopped. The same command goes on from here.", file=sys.stderr)  # noqa: T201
            return INTERRUPTED
        seconds[stage] = round(time.perf_counter() - started, 1)
    result = {"work": str(recipe.work), "assets": str(recipe.work / "assets"), "seed": recipe.seed, "seconds": seconds}
    print(json.dumps(result) if options.json else f"Done: {recipe.work}")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
