"""Run one measurement: print its table and, with ``--json``, one JSON object as the last line."""

import argparse
import json
import sys

from studies.few_steps import __main__ as steps

from . import cpu, cuda, data, flops, levels, memory, roofline, spans, sync, train

MEASUREMENTS = {
    "flops": flops,
    "roofline": roofline,
    "cpu": cpu,
    "cuda": cuda,
    "memory": memory,
    "train": train,
    "data": data,
    "steps": steps,
    "levels": levels,
    "sync": sync,
    "spans": spans,
}


def main(arguments: list[str]) -> int:
    """Run the measurement that the command line names, and return the exit status."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="name", required=True)
    for name, module in MEASUREMENTS.items():
        command = commands.add_parser(name, help=module.__doc__.splitlines()[0], description=module.__doc__)
        command.add_argument("--json", action="store_true", help="print the results as one JSON object, the last line")
        module.add_options(command)
    options = parser.parse_args(arguments)
    measurement = MEASUREMENTS[options.name]
    results = measurement.measure(options)
    sys.stdout.write(measurement.table(results) + "\n")
    if options.json:
        sys.stdout.write(json.dumps(results) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
