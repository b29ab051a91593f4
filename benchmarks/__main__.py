"""Run one measurement: print its table and, with ``--json``, one JSON object as the last line."""

import argparse
import json
import sys

from . import flops

MEASUREMENTS = {"flops": flops}


def main(arguments: list[str]) -> int:
    """Run the measurement the command line names; returns the exit status."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("name", choices=sorted(MEASUREMENTS), help="what to measure")
    parser.add_argument("--json", action="store_true", help="print the results as one JSON object on the last line")
    options = parser.parse_args(arguments)
    measurement = MEASUREMENTS[options.name]
    results = measurement.measure()
    sys.stdout.write(measurement.table(results) + "\n")
    if options.json:
        sys.stdout.write(json.dumps(results) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
