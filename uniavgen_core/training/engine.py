"""The engine under the trainer: Hugging Face Accelerate, set up for one process, for several, or for shards.

Run a program alone, or with ``accelerate launch`` on several devices or machines; nothing else changes.
"""

import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from accelerate import Accelerator

SHARDED_UNITS = ("Block", "AudioToVideoAttention", "VideoToAudioAttention", "Head")
"""Classes whose weights are gathered together. ``Head`` among them: a layer's face mask is called by itself."""
TRACKER = "tensorboard"


@dataclass(frozen=True)
class EngineConfig:
    """Precision and placement of the arithmetic.

    Attributes:
        precision: Of matrix products: ``bf16``, ``no`` for float32, or ``auto``: bf16, but not on a CPU without
            instructions for it, where it is many times slower. Weights and averages are float32 in all.
        sharded: Spread weights, gradients and optimizer state over all processes (FSDP2), for networks that do not fit
            one device.
        cpu: Stay on the CPU where there is an accelerator.
    """

    precision: str = "auto"
    sharded: bool = False
    cpu: bool = False

    def __post_init__(self) -> None:
        if self.precision not in ("auto", "bf16", "no"):
            raise ValueError(f"precision is {self.precision!r}; it is auto, bf16 or no.")

    @property
    def chosen(self) -> str:
        """``bf16`` or ``no``: what ``auto`` means here."""
        if self.precision != "auto":
            return self.precision
        on_cpu = self.cpu or not torch.accelerator.is_available()
        return "no" if on_cpu and not _has_bfloat16_instructions() else "bf16"


def _has_bfloat16_instructions() -> bool:
    """True if this CPU has instructions for products in bfloat16.

    oneDNN's own answer is not enough on x86: with AVX-512 alone it emulates them, five times slower than float32
    (``benchmarks/NOTES.md``).
    """
    if platform.machine().lower() in ("x86_64", "amd64"):
        names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # earlier versions of PyTorch lack some
        return any(getattr(torch.cpu, name)() for name in names if hasattr(torch.cpu, name))
    return torch.ops.mkldnn._is_mkldnn_bf16_supported()


def make_accelerator(config: EngineConfig, folder: Path, accumulation: int = 1) -> "Accelerator":
    """Set up Accelerate for a trainer.

    Args:
        config: Precision and placement.
        folder: Where trackers write.
        accumulation: Parts of a batch that one process computes in turn.

    Raises:
        ImportError: If Accelerate is not installed.
    """
    try:
        from accelerate import Accelerator
        from accelerate.utils import (
            AutocastKwargs,
            DistributedDataParallelKwargs,
            GradientAccumulationPlugin,
            ProjectConfiguration,
        )
    except ImportError as error:
        raise ImportError("Training needs Hugging Face Accelerate: pip install accelerate") from error
    sharded = config.sharded or os.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true"
    plugin = _shards() if sharded else None
    accelerator = Accelerator(
        mixed_precision=config.chosen,
        cpu=config.cpu,
        fsdp_plugin=plugin,
        gradient_accumulation_plugin=GradientAccumulationPlugin(accumulation, sync_with_dataloader=False),
        log_with=TRACKER,
        project_config=ProjectConfiguration(str(folder), logging_dir=str(folder)),
        kwargs_handlers=[
            # Tasks leave directions of the interaction out. Shards are cast where they are used, and kept no longer.
            DistributedDataParallelKwargs(find_unused_parameters=True),
            AutocastKwargs(cache_enabled=not sharded),
        ],
    )
    if plugin is not None and accelerator.num_processes > 1 and not accelerator.is_fsdp2:
        _shard_on_cpu(accelerator, plugin)
    return accelerator


def _shards() -> Any:
    """FSDP2 with float32 weights: autocast casts matrix products, and modulation stays as precise as on one device."""
    from accelerate.utils import FullyShardedDataParallelPlugin
    from torch.distributed.fsdp import MixedPrecisionPolicy

    plugin = FullyShardedDataParallelPlugin(
        fsdp_version=2,
        auto_wrap_policy="transformer_based_wrap",
        transformer_cls_names_to_wrap=list(SHARDED_UNITS),
        state_dict_type="SHARDED_STATE_DICT",
        cpu_ram_efficient_loading=False,
    )
    plugin.set_mixed_precision = lambda *_, **__: None
    plugin.mixed_precision_policy = MixedPrecisionPolicy()
    return plugin


def name_units(accelerator: "Accelerator", model: nn.Module) -> None:
    """Leave units out that a network has none of, such as interactions; Accelerate would look for them."""
    present = {type(module).__name__ for module in model.modules()}
    plugin: Any = accelerator.state.fsdp_plugin
    plugin.transformer_cls_names_to_wrap = [name for name in SHARDED_UNITS if name in present]


def _shard_on_cpu(accelerator: "Accelerator", plugin: object) -> None:
    """Accelerate shards on accelerators only, though PyTorch shards on CPUs too; that is how this is tested."""
    from accelerate.state import PartialState
    from accelerate.utils import DistributedType

    for state in (PartialState(), accelerator.state):
        state.distributed_type = DistributedType.FSDP
    accelerator.state.fsdp_plugin = plugin
