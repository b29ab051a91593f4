"""The command ``test``: pytest in the environment with ComfyUI and a browser."""

import json
import os
import time
from collections import Counter
from collections.abc import Sequence

import pytest

from .chromium import ensure_chromium
from .console import Console
from .environment import ROOT

IN_PARALLEL = ("-n", "4", "--dist", "loadfile", "--no-loadscope-reorder")
"""Arguments for the whole suite: most tests run on one thread, and the tests of a file share their fixtures.

Four processes keep two cores busy, since tests with a server or a browser often wait.
Files are sorted by name, because those with the fewest tests, which would come last, are among the slowest.
"""


class Tally:
    """Counter of the outcomes of a pytest run."""

    def __init__(self) -> None:
        self.outcomes = Counter(passed=0, failed=0, skipped=0, errors=0)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count a test once: by its call, or by a failed set-up or teardown."""
        if report.when == "call" or report.skipped:
            self.outcomes[report.outcome] += 1
        elif report.failed:
            self.outcomes["errors"] += 1


def main(arguments: Sequence[str], console: Console) -> int:
    """Run the tests with arguments for pytest, and ``--json``; returns pytest's exit status."""
    started = time.monotonic()
    os.chdir(ROOT)
    as_json = "--json" in arguments
    ensure_chromium(console)
    tally = Tally()
    chosen = [argument for argument in arguments if argument != "--json"]
    parallel = [] if any(map(_names_tests, chosen)) else IN_PARALLEL
    status = int(pytest.main([*parallel, *chosen], plugins=[tally]))
    if as_json:
        seconds = {**console.seconds, "tests": round(time.monotonic() - started, 2)}
        print(json.dumps({"status": status, **tally.outcomes, "seconds": seconds}), flush=True)
    return status


def _names_tests(argument: str) -> bool:
    """True if an argument for pytest selects tests, or the number of parallel ones."""
    return (ROOT / argument.split("::")[0]).exists() or argument.startswith(("-n", "--pdb"))
