"""Options, plan and results of ``bench card``."""

import sys
import tempfile
from argparse import ArgumentParser, Namespace
from contextlib import ExitStack
from pathlib import Path

from tools.environment import ROOT
from tools.processes import orderly_signals

from .parts import PARTS, Part, chosen_parts, planned
from .report import markdown
from .run_parts import Settings, run_parts


def add_options(parser: ArgumentParser) -> None:
    """Add the options for time, parts and folders."""
    parser.add_argument("--minutes", type=float, default=35, help="time for everything; ten do for the first three")
    parser.add_argument(
        "--parts", nargs="+", default=[], metavar="PART", help=f"of {', '.join(part.name for part in PARTS)}; or memory"
    )
    parser.add_argument("--plan", action="store_true", help="say what would be done, and do nothing")
    parser.add_argument("--rehearse", action="store_true", help="do everything at toy size on the CPU")
    parser.add_argument(
        "--classic", action="store_true", help="ComfyUI's classic memory management; without this the dynamic one is "
        "used, and the classic one for a part again that fails with it",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, default=ROOT / "output" / "card", help="folder for results and logs")
    parser.add_argument("--work", type=Path, help="folder that keeps seeded weights, 28 GB; a temporary one by default")


def measure(options: Namespace) -> dict:
    """Run the parts, or plan them.

    Needs a CUDA device except for a plan and a rehearsal.
    """
    try:
        parts = chosen_parts(options.parts)
    except ValueError as error:
        sys.exit(str(error))
    if options.plan:
        return {"plan": [_row(part, seconds) for part, seconds in planned(parts, options.minutes)]}
    if not options.rehearse:
        _require_card()
    with ExitStack() as stack:
        stack.enter_context(orderly_signals())
        work = options.work or Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        for folder in (work, options.out):
            folder.mkdir(parents=True, exist_ok=True)
        settings = Settings(options.out.resolve(), work.resolve(), options.minutes, options.rehearse, options.classic)
        return run_parts(parts, settings)


def _require_card() -> None:
    import torch  # Imported lazily, because a plan needs no PyTorch.

    if not torch.cuda.is_available():
        sys.exit("bench card needs a CUDA device, and there is none. `bench card --rehearse` runs every part on a CPU.")


def _row(part: Part, seconds: float | None) -> dict:
    return {
        "part": part.name, "seconds": seconds, "most_seconds": part.most, "least_seconds": part.least,
        "about": part.about, "missing": part.missing,
    }  # fmt: skip


def table(results: dict) -> str:
    """Format the results, or the plan, as text."""
    if "plan" not in results:
        return markdown(results)
    lines = ["Parts in order of worth; time that one leaves is left to those after it."]
    for row in results["plan"]:
        seconds = "not started" if row["seconds"] is None else f"{row['seconds']:.0f} s"
        missing = f" MISSING: {', '.join(row['missing'])}." if row["missing"] else ""
        lines.append(f"{row['part']:10}  {seconds:>11} of {row['most_seconds']:3.0f} s  {row['about']}.{missing}")
    return "\n".join(lines)
