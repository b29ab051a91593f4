"""ComfyUI's own unit tests, with the pack and without it: each has the same outcome."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from xml.etree import ElementTree

from ..comfy_server import ComfyServer
from ..environment import ROOT, Environment
from ..processes import CALM
from .tally import Tally

PLUGIN = "tools.torture.host_plugin"
LONGEST = 1800.0
"""Seconds that one run of all of them may take."""
CACHES = {".git", "__pycache__"}
OWN_FILES = {"models", "output", "input", "temp", "user", "custom_nodes"}


def compare_unit_tests(server: ComfyServer, random: Random, tally: Tally) -> None:
    """Run the unit tests twice on a copy of ComfyUI, and compare the outcomes test by test."""
    del random  # nothing is drawn
    started = time.monotonic()
    without = outcomes_of(server.environment)
    beside = outcomes_of(server.environment, "--with-pack")
    tally.facts |= {"passed": sum(outcome == "passed" for outcome in without.values())}
    tally.facts |= {"seconds": round(time.monotonic() - started)}
    for name in sorted({*without, *beside}):
        tally.count(fault_of_outcomes(name, without.get(name, "missing"), beside.get(name, "missing")))
    if not without:
        tally.count("none of ComfyUI's unit tests ran")


def fault_of_outcomes(name: str, without: str, beside: str) -> str | None:
    """Description of a test that ends in another way with the pack; None for none."""
    return None if without == beside else f"{name}: {without} without the pack, {beside} with it"


def outcomes_of(environment: Environment, *options: str) -> dict[str, str]:
    """Outcome of each of ComfyUI's unit tests, by its name."""
    with tempfile.TemporaryDirectory() as folder:
        copy, report = Path(folder) / "ComfyUI", Path(folder) / "report.xml"
        shutil.copytree(environment.comfyui, copy, ignore=_left_out(environment.comfyui))
        command = [
            str(environment.python), "-m", "pytest", "tests-unit", "-q", "-p", "no:cacheprovider", "-p", PLUGIN,
            f"--junitxml={report}", *options,
        ]  # fmt: skip
        environ = {**CALM, **os.environ, "PYTHONPATH": str(ROOT), "COMFYUI_PATH": str(copy)}
        try:
            subprocess.run(command, cwd=copy, env=environ, capture_output=True, check=False, timeout=LONGEST)
        except subprocess.TimeoutExpired:
            return {}
        return read_report(report) if report.is_file() else {}


def _left_out(comfyui: Path) -> Callable[[str, list[str]], set[str]]:
    """Choice of what is not copied: history, caches and the user's own files, which lie in ComfyUI's folder itself."""

    def choose(folder: str, names: list[str]) -> set[str]:
        return set(names) & (CACHES | (OWN_FILES if Path(folder) == comfyui else set()))

    return choose


def read_report(report: Path) -> dict[str, str]:
    """Outcomes in a report in JUnit's form: passed, failure, error or skipped."""
    outcomes = {}
    for case in ElementTree.parse(report).iter("testcase"):
        kinds = [child.tag for child in case if child.tag in ("failure", "error", "skipped")]
        outcomes[f"{case.get('classname')}.{case.get('name')}"] = kinds[0] if kinds else "passed"
    return outcomes
