"""Run one measurement: print its table and, with ``--json``, one JSON object as the last line."""

import argparse
import ast
import json
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

MEASUREMENTS = {
    "flops": "benchmarks.flops",
    "roofline": "benchmarks.roofline",
    "cpu": "benchmarks.cpu",
    "cuda": "benchmarks.cuda",
    "card": "benchmarks.card",
    "clip": "benchmarks.whole_clip",
    "memory": "benchmarks.memory",
    "train": "benchmarks.train",
    "data": "benchmarks.data",
    "steps": "studies.few_steps.__main__",
    "levels": "benchmarks.levels",
    "drift": "benchmarks.drift",
    "sync": "benchmarks.sync",
    "spans": "benchmarks.spans",
    "editing": "benchmarks.editing",
}
"""Modules with ``add_options``, ``measure`` and ``table``, by name.

Only the chosen one is imported, so that it needs no packages of the others.
"""


def main(arguments: list[str]) -> int:
    """Run the measurement that the command line names, and return the exit status."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="name", required=True)
    chosen = next((argument for argument in arguments if argument in MEASUREMENTS), None)
    for name, module in MEASUREMENTS.items():
        description = docstring(module)
        command = commands.add_parser(name, help=description.splitlines()[0], description=description)
        command.add_argument("--json", action="store_true", help="print the results as one JSON object, the last line")
        if name == chosen:
            import_module(module).add_options(command)
    options = parser.parse_args(arguments)
    measurement = import_module(MEASUREMENTS[options.name])
    results = measurement.measure(options)
    sys.stdout.write(measurement.table(results) + "\n")
    if options.json:
        sys.stdout.write(json.dumps(results) + "\n")
    return 0


def docstring(module: str) -> str:
    """Docstring of a module, read from its source without importing it."""
    source = Path(find_spec(module).origin).read_text(encoding="utf-8")
    return ast.get_docstring(ast.parse(source)) or module


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
