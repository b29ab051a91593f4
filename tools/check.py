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
UNREAD = "transformers"
"""Package whose types are left out: it makes its names at import, so its code says little and takes long to read."""


def main(arguments: Sequence[str], console: Console) -> int:
    """Run every check, whether or not the ones before it passed; returns 0 if all pass, else 1."""
    started = time.monotonic()
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "pyrightconfig.json"
        config.write_text(json.dumps(type_config(current().comfyui, Path(folder))), encoding="utf-8")
        leave_out_types(UNREAD, Path(folder))
        checks = {
            "rules": ("ruff", "check", "."),
            "formatting": ("ruff", "format", "--check", "."),
            "types": ("basedpyright", "--project", str(config), "--pythonpath", sys.executable),
        }
        for name, command in checks.items():
            console.line(f"Checking {name}")
            if subprocess.run([sys.executable, "-m", *command], cwd=ROOT, check=False).returncode:
                failed.append(name)
    console.line(f"Failed: {', '.join(failed)}." if failed else "All checks pass.")
    if "--json" in arguments:
        seconds = {**console.seconds, "check": round(time.monotonic() - started, 2)}
        print(json.dumps({"status": int(bool(failed)), "failed": failed, "seconds": seconds}), flush=True)
    return int(bool(failed))


def leave_out_types(package: str, stubs: Path) -> None:
    """Write a type stub for a package to a folder; every name in it exists and is ``Any``."""
    (stubs / f"{package}.pyi").write_text("from typing import Any\n\ndef __getattr__(name: str) -> Any: ...\n")


def type_config(comfyui: Path, stubs: Path) -> dict:
    """Settings of pyright, with a folder of type stubs; a file of the repository cannot say where ComfyUI lies."""
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
        "stubPath": str(stubs),
    }
