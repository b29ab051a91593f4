"""The most memory that tensors take at once while something runs: counted, so that the meta device will do."""

import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from uniavgen_core.config import ModelConfig
from uniavgen_core.layers.backend import Backend
from uniavgen_core.model.joint import JointModel
from uniavgen_core.shapes import AVShape
from uniavgen_core.training.memory_trace import COUNTED, storage_of

from .flops import Pass, run_pass

LAYERS = 3
"""Layers that tell what any number of them takes: the second runs on what the first leaves, the third interacts."""


# torch's MemTracker gives the same peaks within 0.002 %, but took four to ten times as long for the released network.
class Allocations(TorchDispatchMode):
    """Counts the memory of tensors that operators return, from when they are made to when nothing holds them.

    What an operator takes for itself while it runs, such as a workspace, is not seen.

    Attributes:
        now: Bytes in use.
        peak: The most bytes in use so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._seen: dict[int, Any] = {}

    def __torch_dispatch__(self, operator: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        """Run an operator and note what it made."""
        result = operator(*args, **(kwargs or {}))
        before = {storage_of(value) for value in tree_leaves((args, kwargs)) if torch.is_tensor(value)}
        for value in tree_leaves(result):
            if torch.is_tensor(value) and storage_of(value) not in before:
                self._note(value)
        return result

    def _note(self, tensor: torch.Tensor) -> None:
        key, storage = storage_of(tensor), tensor.untyped_storage()
        if key in self._seen:
            return
        self._seen[key] = weakref.finalize(storage, self._free, key, storage.nbytes())
        self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)

    def _free(self, key: int, size: int) -> None:
        del self._seen[key]
        self.now -= size


def peak_of(run: Callable[[], Any]) -> int:
    """Bytes that tensors take at most at once which ``run`` makes, its results included; not what it is given."""
    with Allocations() as allocations:
        result = run()
    del result
    return allocations.peak


def pass_peak(config: ModelConfig, shape: AVShape, backend: Backend = COUNTED) -> int:
    """Bytes of activations that one pass takes at most at once in bfloat16, counted without memory.

    Only the first layers run, since layers take the same memory in turn; attention must be a fused kernel's.
    """
    model = cut(config, "meta", backend)
    with torch.no_grad():
        return peak_of(lambda: run_pass(model, shape, Pass()))


def cut(config: ModelConfig, device: str, backend: Backend) -> JointModel:
    """Make a network of the first layers in bfloat16, with weights as they happen to be."""
    layers = min(LAYERS, config.num_layers)
    modules = min((layers + 1) // 2, config.num_interactions)
    with torch.device("meta"):
        model = JointModel(replace(config, num_layers=layers, num_interactions=modules), backend).bfloat16()
    return model.to_empty(device=device)
