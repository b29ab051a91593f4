"""Clips and model sizes from other Python packages, by name: ``toon:100`` is 100 clips of the package ``toon``."""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from ..config import RELEASED, ModelConfig

_SHORTEST_NAME = 2  # "C:" is a drive.


def attribute_of(package: str, name: str) -> Any | None:
    """An attribute of a Python package; None if there is no such package, or it lacks the attribute."""
    if len(package) < _SHORTEST_NAME or not package.isidentifier() or find_spec(package) is None:
        return None
    return getattr(import_module(package), name, None)


def model_config_of(name: str) -> ModelConfig:
    """Sizes of a model: ``released``, or a package's ``MODEL``.

    Raises:
        ValueError: If there is no such model.
    """
    if name == "released":
        return RELEASED
    config = attribute_of(name, "MODEL")
    if config is None:
        raise ValueError(f"model is {name!r}; it is released, or a Python package with a MODEL.")
    return config
