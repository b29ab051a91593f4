"""Running of the parts, each in a process of its own, and writing of what they found after each of them."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.environment import ROOT
from tools.processes import spawn, stop
from uniavgen_core.atomic_write import atomic_write

from .parts import MARGIN, Part, seconds_for
from .report import markdown, summary

NOTHING = {"machine": {}, "tables": {}, "failures": {}, "notes": []}
REHEARSAL_PATIENCE = 10.0
"""On a CPU that is busy with other work, even toy sizes take long."""
DYNAMIC, WHOLE = "dynamic", "whole clip"


@dataclass(frozen=True)
class Settings:
    """Settings of a measurement.

    Attributes:
        out: Folder for results and logs.
        work: Folder for files of weights.
        minutes: Time for everything.
        rehearse: Whether everything is done at toy size on the CPU.
        classic: Whether ComfyUI's classic memory management is used from the start.
    """

    out: Path
    work: Path
    minutes: float
    rehearse: bool
    classic: bool


def run_parts(parts: Sequence[Part], settings: Settings) -> dict:
    """Run parts one after the other until the time is up, and return their results.

    Results are written after every part; Ctrl-C and SIGTERM stop the part that runs, and keep what it has found.
    """
    started, classic = time.monotonic(), settings.classic
    results: dict = {"machine": {}, "minutes": settings.minutes, "rehearsal": settings.rehearse, "parts": {}}
    for part in parts:
        left = settings.minutes * 60 - (time.monotonic() - started)
        outcome = _run_if_time(part, left, settings, classic)
        _keep(results, part.name, outcome, settings.out)
        left = settings.minutes * 60 - (time.monotonic() - started)
        if part.loads and _fell_with_dynamic(outcome) and not classic:
            classic = True  # for the parts after this one too
            _keep(results, part.name, _again(part, outcome, left, settings), settings.out)
        if outcome["status"] == "interrupted":
            break
    return results


def _run_if_time(part: Part, left: float, settings: Settings, classic: bool) -> dict:
    seconds = seconds_for(part, left, REHEARSAL_PATIENCE if settings.rehearse else 1.0)
    if seconds is None:
        why = f"{max(left, 0):.0f} s are left, and it needs at least {part.least:.0f} s"
        return {"status": "not started", "why": why, "seconds": 0.0, **NOTHING}
    if part.missing:
        why = f"packages are missing: {', '.join(part.missing)}"
        return {"status": "not started", "why": why, "seconds": 0.0, **NOTHING}
    return run_part(part, seconds, settings, classic)


def _fell_with_dynamic(outcome: dict) -> bool:
    """True if a part crashed, or was stopped before it had a whole clip, under dynamic memory management."""
    stuck = outcome["status"] == "stopped at its limit" and WHOLE not in outcome["tables"]
    management = outcome["machine"].get("memory_management", DYNAMIC)  # none yet where starting it crashed
    return (outcome["status"] == "failed" or stuck) and management == DYNAMIC


def _again(part: Part, before: dict, left: float, settings: Settings) -> dict:
    """Run a part again with classic memory management; without time for that, keep what it was before."""
    outcome = _run_if_time(part, left, settings, classic=True)
    why = before["why"] or "; ".join(before["failures"].values())
    note = f"With ComfyUI's dynamic memory management this part was {before['status']} ({why})."
    if outcome["status"] == "not started":
        return before | {"notes": [*before["notes"], f"{note} There was no time to try the classic one."]}
    return outcome | {"notes": [f"{note} These results are with the classic one.", *outcome["notes"]]}


def run_part(part: Part, seconds: float, settings: Settings, classic: bool) -> dict:
    """Run one part in a process of its own.

    Args:
        part: The part.
        seconds: Time after which the process and its children are stopped.
        settings: Settings of the measurement.
        classic: Whether ComfyUI's classic memory management is used.

    Returns:
        ``status``, ``why`` it is not done, ``seconds`` taken, ``limit_seconds``, and the part's findings.
    """
    stem = f"{part.name}-classic" if classic else part.name
    path, log = (settings.out / f"{stem}.{ending}" for ending in ("json", "log"))
    path.unlink(missing_ok=True)
    command = [
        sys.executable, "-m", f"{__package__}.part_process", part.name, "--findings", str(path),
        "--work", str(settings.work), "--seconds", str(max(1.0, seconds - MARGIN)),
        *(["--rehearse"] if settings.rehearse else []), *(["--classic"] if classic else []),
    ]  # fmt: skip
    sys.stderr.write(f"{part.name}: {part.about}; at most {seconds:.0f} s\n")
    sys.stderr.flush()
    started, status, why = time.monotonic(), "done", ""
    with log.open("wb") as output:
        process = spawn(command, output, cwd=ROOT)
        try:
            code = process.wait(seconds)
            if code:
                status, why = "failed", f"exit status {code}: {_last_line(log)}"
        except subprocess.TimeoutExpired:
            status, why = "stopped at its limit", f"it was not done after {seconds:.0f} s"
        except KeyboardInterrupt:
            status, why = "interrupted", "Ctrl-C or SIGTERM"
        finally:
            stop(process)
    found = _read(path)
    if status == "done" and found["failures"]:
        status = "done in part"
    taken = round(time.monotonic() - started, 1)
    return {"status": status, "why": why, "seconds": taken, "limit_seconds": round(seconds), **found}


def _last_line(log: Path) -> str:
    """Last line of a log that says something, for the reason of a failure."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines()]
    return next((line for line in reversed(lines) if line), "no output")[:300]


def _read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else dict(NOTHING)


def _keep(results: dict, name: str, outcome: dict, out: Path) -> None:
    """Add the outcome of a part to the results, and write and print them."""
    results["parts"][name] = outcome
    results["machine"] |= {key: value for key, value in outcome["machine"].items() if key != "memory_management"}
    stem = "card_rehearsal" if results["rehearsal"] else f"card_{_slug(results['machine'].get('device', 'unknown'))}"
    texts = {"json": json.dumps(results, indent=1) + "\n", "md": markdown(results)}
    for ending, text in texts.items():
        with atomic_write(out / f"{stem}.{ending}") as partial:
            partial.write_text(text, encoding="utf-8")
    sys.stderr.write(summary(name, outcome) + "\n")
    sys.stderr.flush()


def _slug(device: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", device.lower()).strip("_")
