"""Functions that compiled graphs call as they are."""

from collections.abc import Callable
from typing import Any, TypeVar

import torch

Function = TypeVar("Function", bound=Callable[..., Any])


def never_compiled(function: Function) -> Function:
    """Keep a function out of compiled graphs; ``torch.compiler.disable`` itself loses the function's type."""
    disabled: Any = torch.compiler.disable(function)
    return disabled
