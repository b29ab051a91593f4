"""Validation of a user's own ComfyUI and Python, which are never changed."""

import json
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from .console import DevError

LIST_PACKAGES = """
import importlib.metadata, json
names = [distribution.metadata["Name"] for distribution in importlib.metadata.distributions()]
print(json.dumps([name for name in names if name]))
"""


def check_existing(comfyui: Path, python: Path, requirements: Sequence[str]) -> None:
    """Check that a folder contains ComfyUI and that a Python has the required packages, in any version.

    Args:
        comfyui: Folder of ComfyUI's main.py.
        python: The Python that runs it.
        requirements: Requirement lines of the packages.

    Raises:
        DevError: One of them is not usable.
    """
    if not (comfyui / "main.py").is_file() or not (comfyui / "comfy").is_dir():
        raise DevError(
            f"COMFYUI_PATH names {comfyui}, which is not a ComfyUI. Set it to the folder of ComfyUI's main.py."
        )
    try:
        answer = subprocess.run([str(python), "-c", LIST_PACKAGES], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise DevError(f"{python} does not run ({error}). Set COMFYUI_PYTHON to the Python of your ComfyUI.") from error
    installed = {_normal(name) for name in json.loads(answer.stdout)}
    missing = [line for line in requirements if _normal(re.split(r"[\s<>=!~;\[]", line)[0]) not in installed]
    if missing:
        raise DevError(
            f"{python} lacks {', '.join(missing)}. Set COMFYUI_PYTHON to the Python of your ComfyUI, and install there "
            f"what is missing: {python} -m pip install {' '.join(missing)}"
        )


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
