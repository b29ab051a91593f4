"""The verb ``check``: ruff's rules, the formatting, and the types of the method and the nodes."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from .console import Console
from .environment import ROOT, current

CHECKED_TYPES = ("uniavgen_core", "nodes")
RUFF = {"rules": ("check", "."), "formatting": ("format", "--check", ".")}


def main(arguments: Sequence[str], console: Console) -> int:
    """Run every check, whether or not the ones before it passed.

    Args:
        arguments: ``--json`` or nothing.
        console: Where progress is shown.

    Returns:
        0 if all pass, else 1.
    """
    started = time.monotonic()
    failed = []
    for name, command in {**RUFF, "types": None}.items():
        console.line(f"Checking {name}")
        if (check_types() if command is None else _run("ruff", *command)) != 0:
            failed.append(name)
    console.line(f"Failed: {', '.join(failed)}." if failed else "All checks pass.")
    if "--json" in arguments:
        seconds = {**console.seconds, "check": round(time.monotonic() - started, 2)}
        print(json.dumps({"status": int(bool(failed)), "failed": failed, "seconds": seconds}), flush=True)
    return int(bool(failed))


def check_types() -> int:
    """Run pyright on the method and the nodes; returns its exit status."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pyrightconfig.json"
        path.write_text(json.dumps(type_config(current().comfyui)), encoding="utf-8")
        return _run("basedpyright", "--project", str(path), "--pythonpath", sys.executable)


def type_config(comfyui: Path) -> dict:
    """Settings of pyright; a file of the repository cannot say where ComfyUI lies."""
    host = str(comfyui.resolve())
    # ComfyUI calls a node by the names of its inputs, while its base class declares ``execute(**kwargs)``: by the
    # rules of overriding, every node breaks that promise. Only the nodes' own files are excused.
    environments = [
        {"root": str(ROOT / "nodes" / "host"), "extraPaths": [str(ROOT), host]},
        {"root": str(ROOT / "nodes"), "extraPaths": [str(ROOT), host], "reportIncompatibleMethodOverride": "none"},
        {"root": str(ROOT), "extraPaths": [host]},
    ]
    return {
        "typeCheckingMode": "standard",
        "include": [str(ROOT / folder) for folder in CHECKED_TYPES],
        "executionEnvironments": environments,
    }


def _run(module: str, *arguments: str) -> int:
    return subprocess.run([sys.executable, "-m", module, *arguments], cwd=ROOT, check=False).returncode
