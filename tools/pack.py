"""Import of ComfyUI's modules, and of the node pack as ComfyUI loads it: as a package outside ``sys.path``."""

import importlib.util
import os
import sys
from types import ModuleType
from typing import Any

from .environment import ROOT

NAME = "uniavgen_pack"


def comfyui_arguments(command: str) -> Any:
    """Import ComfyUI's start-up arguments, which must be set before anything else of it is imported.

    Raises:
        ImportError: If ``COMFYUI_PATH`` does not lead to ComfyUI; ``dev.py`` with ``command`` sets it.
    """
    folder = os.environ.get("COMFYUI_PATH", "")
    if folder not in sys.path:
        sys.path.append(folder)  # At the end, because ComfyUI has a module `nodes` like the repository.
    try:
        from comfy.cli_args import args
    except ImportError as error:
        raise ImportError(f"ComfyUI was not found; run this as: python dev.py {command}") from error
    return args


def load_pack() -> ModuleType:
    """Load the pack; ComfyUI's folder must be on ``sys.path``, and its start-up arguments set."""
    if NAME not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            NAME, ROOT / "__init__.py", submodule_search_locations=[str(ROOT)]
        )
        module = sys.modules[NAME] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[NAME]
