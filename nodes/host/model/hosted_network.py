"""ComfyUI's demands on a network, the same for every part of UniAVGen.

Wrappers run around every pass, weights are fetched one layer ahead of their use, and a patch may replace a layer.
"""

from collections.abc import Callable
from typing import Any

import comfy.model_prefetch
import comfy.patcher_extension
import torch
from torch import Tensor, nn

from ....uniavgen_core.config import ModelConfig
from .comfy_backend import host_backend

PREFETCH = "uniavgen_prefetch_queue"
DIFFUSION_MODEL = comfy.patcher_extension.WrappersMP.DIFFUSION_MODEL


class HostedNetwork(nn.Module):
    """Stands before a network of the core among a class's bases; the class adds ``_forward`` and ``_layer``."""

    config: ModelConfig
    _forward: Callable[..., Any]
    _layer: Callable[[int], nn.Module]

    def __init__(
        self,
        network_config: ModelConfig,
        dtype: torch.dtype | None = None,
        device: torch.device | None = None,
        operations: Any = None,
        image_model: str | None = None,
    ) -> None:
        del image_model  # ComfyUI's name for the architecture; part of every unet_config.
        super().__init__(network_config, host_backend(operations, dtype, device))
        self.dtype = dtype

    def forward(self, x: Any, timestep: Any, *args: Any, **kwargs: Any) -> Any:
        """Predict velocities; see ``_forward``. ComfyUI's wrappers run around it."""
        wrappers = comfy.patcher_extension.get_all_wrappers(DIFFUSION_MODEL, kwargs.get("transformer_options", {}))
        executor = comfy.patcher_extension.WrapperExecutor.new_class_executor(self._forward, self, wrappers)
        return executor.execute(_copied(x) if wrappers else x, timestep, *args, **kwargs)

    def _begin(self, options: dict | None, skip_layer: int | None, device: torch.device) -> dict:
        """Options of a pass, with the queue that prefetches its layers."""
        options = dict(options or {})
        layers = [self._layer(i) for i in range(self.config.num_layers) if i != skip_layer]
        options[PREFETCH] = comfy.model_prefetch.make_prefetch_queue(layers, device, options)
        return options

    def _enter(self, layer: int, options: dict, device: torch.device) -> Callable | None:
        """Fetch a layer's weights and look up its patch, ``patches_replace["dit"][("double_block", layer)]``."""
        comfy.model_prefetch.prefetch_queue_pop(options[PREFETCH], device, self._layer(layer))
        options["block_index"] = layer
        return options.get("patches_replace", {}).get("dit", {}).get(("double_block", layer))

    @staticmethod
    def _end(options: dict, device: torch.device) -> None:
        """Release the weights of the last layer."""
        if options[PREFETCH] is not None:
            comfy.model_prefetch.prefetch_queue_pop(options[PREFETCH], device, None)


def _copied(x: list[Tensor] | Tensor) -> list[Tensor] | Tensor:
    """Copies of latents, which in float32 are the sampler's own: stock EasyCache, a wrapper, writes into them."""
    return [part.clone() for part in x] if isinstance(x, list) else x.clone()
