"""Several sets of adapters on one network: the one that computes is switched, the weights under them are shared.

Teacher, student and critic of a distillation are one network: without adapters, with the student's, with the critic's.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, ParamSpec, TypeVar

import torch
from torch import nn

Given = ParamSpec("Given")
Result = TypeVar("Result")


@contextmanager
def active_adapter(model: nn.Module, name: str | None) -> Iterator[None]:
    """Compute with one set of adapters, or with none, for as long as the context lasts.

    Args:
        model: The network.
        name: Name of the adapters; None for the weights alone.
    """
    before = active_name(model)
    activate(model, name)
    try:
        yield
    finally:
        activate(model, before)


def without_gradient(model: nn.Module, name: str | None, compute: Callable[Given, Result]) -> Callable[Given, Result]:
    """A function that computes without gradients, and with one set of adapters or with none.

    Args:
        model: The network that it calls.
        name: Name of the adapters; None for the weights alone.
        compute: The function.
    """

    def computed(*args: Given.args, **kwargs: Given.kwargs) -> Result:
        with torch.no_grad(), active_adapter(model, name):
            result = compute(*args, **kwargs)
        # In older PyTorch, weights that autocast has cast here would be used again where gradients are needed.
        torch.clear_autocast_cache()
        return result

    return computed


def active_name(model: nn.Module) -> str | None:
    """Name of the active adapters; None for none."""
    layers = _adapted_layers(model)
    return next(iter(layers[0].active_adapters), None) if layers else None


def activate(model: nn.Module, name: str | None) -> None:
    """Compute with one set of adapters, or with none, from here on."""
    for layer in _adapted_layers(model):
        # Not peft's set_adapter: it freezes the other adapters, and the optimizer would lose their gradients.
        layer._active_adapter = [] if name is None else [name]


def recall_adapter(model: nn.Module) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """Contexts of a forward pass and of its recomputation, which takes place when others may be active.

    A ``context_fn`` of ``torch.utils.checkpoint``.
    """
    return nullcontext(), active_adapter(model, active_name(model))


def _adapted_layers(model: nn.Module) -> list[Any]:
    return [module for module in model.modules() if isinstance(getattr(module, "lora_A", None), nn.ModuleDict)]
