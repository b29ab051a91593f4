"""ComfyUI's layers and attention, in the form the network asks for."""

from functools import partial
from types import SimpleNamespace
from typing import Any

import comfy.model_management
import comfy.quant_ops
import torch
from comfy.ldm.modules.attention import optimized_attention
from comfy.quant_ops import QuantizedTensor
from torch import Tensor, nn

from ....uniavgen_core.layers import backend
from ....uniavgen_core.layers.backend import Backend
from ....uniavgen_core.layers.token_chunks import records_gradients
from .gguf_layout import LAYOUT as GGUF

HALF = (torch.bfloat16, torch.float16)
LAYERS = ("Linear", "Conv1d", "Conv2d", "Conv3d", "LayerNorm", "RMSNorm", "GroupNorm", "Embedding")


def attend(q: Tensor, k: Tensor, v: Tensor, heads: int, mask: Tensor | None = None, options: Any = None) -> Tensor:
    """Multi-head attention by whichever kernel ComfyUI was started with.

    Args:
        q: Queries, (B, N, D).
        k: Keys, (B, M, D).
        v: Values, (B, M, D).
        heads: Number of heads.
        mask: True for keys that count, bool, (B, M).
        options: ComfyUI's ``transformer_options``; patches may override attention there.

    Returns:
        Attended values, (B, N, D).
    """
    if mask is not None:
        mask = mask[:, None, None, :].expand(-1, -1, q.shape[1], -1)
    return optimized_attention(q, k, v, heads=heads, mask=mask, transformer_options=options or {})


def fused(name: str, x: Tensor) -> bool:
    """True if ComfyUI has this kernel on a tensor's device.

    What ComfyUI runs in its place on other devices, and with PyTorch for CUDA 12, takes the whole sequence at once in
    float32, where the core takes it chunk by chunk.
    """
    if not x.is_cuda or x.dtype not in HALF:
        return False
    return comfy.quant_ops.ck.registry.get_capable_backend(name) != "eager"


def norm_modulate(tokens: Tensor, norm: nn.Module, shift: Tensor, scale: Tensor) -> Tensor:
    """Normalise and modulate tokens, as ``layers.backend.norm_modulate``; the kernel has no gradients."""
    if records_gradients(tokens, shift, scale) or not fused("adaln", tokens):
        return backend.norm_modulate(tokens, norm, shift, scale)
    steps = tokens.unflatten(1, (shift.shape[1], -1))
    epsilon: Any = norm.eps
    return comfy.quant_ops.ck.adaln(steps, scale[:, :, None], shift[:, :, None], epsilon).flatten(1, 2)


def norm_rope(x: Tensor, norm: nn.Module, rope: Tensor | None, heads: int, out: Tensor | None = None) -> Tensor:
    """Normalise and rotate queries or keys, as ``layers.backend.norm_rope``.

    ComfyUI's kernel has no gradients. It rotates in place, so that nothing is gained by chunks of a sequence.
    """
    if records_gradients(x, layers=norm) or not fused("apply_rope1_", x):
        return backend.norm_rope(x, norm, rope, heads, out)
    normed = norm(x)
    if rope is not None:
        comfy.quant_ops.ck.apply_rope1_(normed.unflatten(-1, (heads, -1)), rope)
    return normed


def cast(parameter: Tensor, like: Tensor) -> Tensor:
    """Bring a bare parameter, which ComfyUI's layers do not manage, to the dtype and device of ``like``."""
    return comfy.model_management.cast_to(parameter, dtype=like.dtype, device=like.device)


def repeatable(layer: nn.Module, like: Tensor) -> bool:
    """True if a layer may run chunk by chunk at no cost.

    It may where ComfyUI neither moves its weights for each run, nor unpacks them, nor patches them on the way.
    """
    own = vars(layer)
    there = "_prefetch" in own or layer.weight.device == like.device
    packed = isinstance(layer.weight, QuantizedTensor) and layer.weight._layout_cls == GGUF
    return there and not packed and not layer.weight_function and own.get("weight_lowvram_function") is None


def host_backend(operations: Any, dtype: torch.dtype | None, device: torch.device | None) -> Backend:
    """Backend whose layers are built from ``operations`` (a ``comfy.ops`` class) with this dtype on this device."""
    layers = {name: partial(getattr(operations, name), dtype=dtype, device=device) for name in LAYERS}
    return Backend(SimpleNamespace(**layers), attend, norm_modulate, norm_rope, cast, repeatable)
