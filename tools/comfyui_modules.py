"""Import of ComfyUI's modules from the test environment."""

import os
import sys
from typing import Any


def comfyui_arguments(command: str) -> Any:
    """Import ComfyUI's start-up arguments, which must be set before anything else of it is imported.

    Args:
        command: Command of ``dev.py`` for the message.

    Raises:
        ImportError: If ``COMFYUI_PATH`` does not lead to ComfyUI; ``dev.py bench`` sets it.
    """
    folder = os.environ.get("COMFYUI_PATH", "")
    if folder not in sys.path:
        sys.path.append(folder)  # At the end, because ComfyUI has a module `nodes` like the repository.
    try:
        from comfy.cli_args import args
    except ImportError as error:
        raise ImportError(f"ComfyUI was not found; run this as: python dev.py {command}") from error
    return args
