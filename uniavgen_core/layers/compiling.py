"""Functions that compiled graphs call as they are."""

import sys
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch

Given = ParamSpec("Given")
Result = TypeVar("Result")
COMPILER = "torch._dynamo"


def never_compiled(function: Callable[Given, Result]) -> Callable[Given, Result]:
    """Keep a function out of compiled graphs, without importing the compiler, which takes a second.

    Where it is imported already, as in ComfyUI, the function is marked for it at once; else at each call after
    something has imported it.
    """

    def marked() -> Callable[Given, Result]:
        disabled: Any = torch.compiler.disable(function)
        return disabled

    @wraps(function)
    def called(*args: Given.args, **kwargs: Given.kwargs) -> Result:
        return (marked() if COMPILER in sys.modules else function)(*args, **kwargs)

    return marked() if COMPILER in sys.modules else called
