"""Loading of the node pack as in ComfyUI: as a package outside ``sys.path``."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

NAME = "uniavgen_pack"
ROOT = Path(__file__).parents[1]


def load_pack() -> ModuleType:
    """Load the pack; ComfyUI's folder must be on ``sys.path``, and its start-up arguments set."""
    if NAME not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            NAME, ROOT / "__init__.py", submodule_search_locations=[str(ROOT)]
        )
        module = sys.modules[NAME] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[NAME]
