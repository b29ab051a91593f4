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
"""Package whose types are left out: it makes its names when it is imported; reading them takes a third of the time."""


def main(arguments: Sequence[str], console: Console) -> int:
    """Run every check, whether or not the ones before it passed; returns 0 if all pass, else 1."""
    started = time.monotonic()
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        config, stub = Path(folder) / "pyrightconfig.json", Path(folder) / "stubs" / UNREAD / "__init__.pyi"
        stub.parent.mkdir(parents=True)
        stub.write_text("from typing import Any\n\ndef __getattr__(name: str) -> Any: ...\n", encoding="utf-8")
        stubs = {"stubPath": str(stub.parents[1])}
        config.write_text(json.dumps(type_config(current().comfyui) | stubs), encoding="utf-8")
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
