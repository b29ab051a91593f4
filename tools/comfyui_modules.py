"""ComfyUI from the test environment, for what is set beside it or driven by it."""

import os
import sys
from typing import Any


def comfyui_arguments(command: str) -> Any:
    """ComfyUI's start-up arguments, to be set before anything else of it is imported.

    Args:
        command: The command of ``dev.py`` that finds ComfyUI.

    Raises:
        ImportError: If ``COMFYUI_PATH`` does not lead to ComfyUI; ``dev.py bench`` sets it.
    """
    folder = os.environ.get("COMFYUI_PATH", "")
    if folder not in sys.path:
        sys.path.append(folder)  # behind the repository, whose folder `nodes` has a namesake there
    try:
        from comfy.cli_args import args
    except ImportError as error:
        raise ImportError(f"ComfyUI is not there; run this as: python dev.py {command}") from error
    return args
