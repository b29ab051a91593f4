"""Train the bundled model: ``python -m uniavgen_core.training bundle --work DIR``, or one of its stages by name."""

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch

from .recipe import Recipe
from .stages import STAGES

WORK = Path("output/bundle")


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="uniavgen_core.training", description=__doc__)
    parser.add_argument("stage", choices=["bundle", *STAGES], help="bundle runs every stage in order")
    parser.add_argument("--work", type=Path, default=WORK, help="folder for clips, checkpoints, logs; resumed if there")
    parser.add_argument("--from", type=Path, dest="shipped", help="model file that scenes and tasks start from")
    parser.add_argument("--seed", type=int, default=0, help="seed of weights, batches and noise")
    parser.add_argument("--minutes", type=float, help="minutes of training: of the bundle in all, or of the one stage")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads and clip-making processes")
    parser.add_argument("--eager", action="store_true", help="compile nothing: needs no C++ compiler, but is slower")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    return parser.parse_args(arguments)


def recipe_of(options: argparse.Namespace) -> Recipe:
    """The recipe the command line asks for."""
    recipe = Recipe(
        options.work,
        seed=options.seed,
        workers=options.threads,
        threads=options.threads,
        processes=min(2, options.threads),
        compiled=not options.eager,
        shipped=options.shipped,
    )
    if options.minutes is None:
        return recipe
    if options.stage == "bundle":
        return recipe.within(options.minutes)
    return replace(recipe, **{f"{options.stage}_minutes": options.minutes})


def main(arguments: list[str]) -> int:
    """Run the chosen stages and say where the results lie."""
    options = parse(arguments)
    if options.minutes is not None and options.stage in ("speech", "clips", "scenes", "pack"):
        sys.exit(f"{options.stage} takes as long as it takes; --minutes is for training.")
    recipe = recipe_of(options)
    recipe.work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(recipe.threads)
    seconds = {}
    for stage in STAGES if options.stage == "bundle" else [options.stage]:
        started = time.perf_counter()
        print(f"{stage} ...", file=sys.stderr, flush=True)  # noqa: T201 - a command line talks
        STAGES[stage](recipe)
        seconds[stage] = round(time.perf_counter() - started, 1)
    result = {"work": str(recipe.work), "assets": str(recipe.work / "assets"), "seed": recipe.seed, "seconds": seconds}
    print(json.dumps(result) if options.json else f"Done: {recipe.work}")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
