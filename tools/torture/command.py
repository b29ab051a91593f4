"""Command line, time and results of ``torture``."""

import json
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from random import Random

from ..comfy_server import ComfyServer
from ..console import Console, DevError
from ..environment import current
from .cancels import cancel_at_random
from .clients import queue_at_once
from .faults import break_runs
from .media import give_damaged_media
from .prompts import post_hostile_prompts
from .servers import share_output
from .service import NOTHING_KEPT, serve_for_long
from .tally import Tally
from .units import compare_unit_tests

SHOWN = 8
"""Failures of each kind that the table quotes."""


Kind = Callable[[ComfyServer, Random, Tally], None]
KINDS: dict[str, tuple[float, Kind]] = {
    "prompts": (0.14, post_hostile_prompts),
    "media": (0.02, give_damaged_media),
    "cancels": (0.28, cancel_at_random),
    "faults": (0.28, break_runs),
    "clients": (0.03, queue_at_once),
    "servers": (0.03, share_output),
    "units": (0.05, compare_unit_tests),
    "service": (0.17, serve_for_long),
}
"""Share of the time of each kind of cases, and the function that tries them."""
VARIABLES = {"service": NOTHING_KEPT}
"""Environment variables of the servers of some kinds."""


def main(arguments: Sequence[str], console: Console) -> int:
    """Try all kinds of cases for some time, and return 1 if any failed."""
    options = parse(arguments)
    console.line(f"seed {options.seed}")
    tallies = {}
    for name in options.kinds or KINDS:
        with console.phase(name, f"Trying {name}"):
            tally = tallies[name] = try_on_own_server(name, options)
        console.line(f"  {row(name, tally)}")
    print(table(tallies), flush=True)
    failures = sum(len(tally.failures) for tally in tallies.values())
    if options.json:
        kinds = {
            name: {"cases": tally.cases, "failures": tally.failures, **tally.facts} for name, tally in tallies.items()
        }
        print(json.dumps({"failures": failures, "seed": options.seed, "kinds": kinds}), flush=True)
    return int(failures > 0)


def parse(arguments: Sequence[str]) -> Namespace:
    """Read the command line."""
    parser = ArgumentParser(prog="dev.py torture", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0, help="time for all kinds together (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of all cases (default: %(default)s)")
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), help="only these")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line of stdout")
    return parser.parse_args(list(arguments))


def try_on_own_server(name: str, options: Namespace) -> Tally:
    """Try the cases of one kind on a server of its own; one that does not start is a failure too."""
    try:
        with ComfyServer(current(), variables=VARIABLES.get(name, {})) as server:
            return try_kind(name, server, options)
    except DevError as error:
        return Tally(time.monotonic(), cases=1, failures=[str(error)[:300]])


def try_kind(name: str, server: ComfyServer, options: Namespace) -> Tally:
    """Try the cases of one kind for its share of the time."""
    chosen = options.kinds or KINDS
    share, attempt = KINDS[name]
    seconds = 60 * options.minutes * share / sum(KINDS[each][0] for each in chosen)
    tally = Tally(time.monotonic() + seconds)
    try:
        attempt(server, Random(f"{options.seed} {name}"), tally)
    except DevError as error:
        tally.count(f"a good prompt failed, or the server has gone: {error}"[:300])
    return tally


def table(tallies: dict[str, Tally]) -> str:
    """Format tallies as a Markdown table, with the failures below."""
    lines = ["| kind | cases | failures | |", "|---|---|---|---|"]
    lines += [row(name, tally) for name, tally in tallies.items()]
    for name, tally in tallies.items():
        lines += [f"{name}: {fault}" for fault in tally.failures[:SHOWN]]
    return "\n".join(lines)


def row(name: str, tally: Tally) -> str:
    """Format a tally as a row of that table."""
    facts = ", ".join(f"{fact} {value:g}" for fact, value in tally.facts.items())
    return f"| {name} | {tally.cases} | {len(tally.failures)} | {facts} |"
