"""The process of one part: ``python -m benchmarks.card.part_process NAME``, started by ``bench card``."""

import argparse
import faulthandler
import sys
import time
from importlib import import_module
from pathlib import Path

from .before_torch import prepare_memory
from .findings import Findings
from .parts import PARTS


def main(arguments: list[str]) -> int:
    """Measure one part and return the exit status; findings are written as they come."""
    faulthandler.enable()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=[part.name for part in PARTS])
    parser.add_argument("--findings", type=Path, required=True, help="file for the findings")
    parser.add_argument("--work", type=Path, required=True, help="folder for files of weights")
    parser.add_argument("--seconds", type=float, required=True, help="time in which the part should be done")
    parser.add_argument("--rehearse", action="store_true")
    parser.add_argument("--classic", action="store_true")
    options = parser.parse_args(arguments)
    findings = Findings(options.findings, time.monotonic() + options.seconds)
    findings.write()
    part = next(part for part in PARTS if part.name == options.name)

    dynamic = part.loads and prepare_memory("cpu" if options.rehearse else "cuda", options.classic)

    from .hosted import machine, start_comfyui  # these import PyTorch
    from .scale import FULL, TOY, Run

    scale = TOY if options.rehearse else FULL
    management = {"memory_management": start_comfyui(scale.device, dynamic)} if part.loads else {}
    findings.machine = machine(scale.device) | management
    findings.write()
    run = Run(scale, options.work, part.limit_gib)
    import_module(f".{part.module}", __package__).measure(findings, run)
    findings.write()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
