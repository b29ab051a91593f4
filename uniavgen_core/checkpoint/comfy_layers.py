"""ComfyUI's formats of quantised layers: scaled fp8, int8 with rotated rows (ConvRot), and NVFP4.

A quantised layer has ``weight``, its scales in float32 or fp8, and ``comfy_quant``, a description in JSON as bytes.
Source: ComfyUI's ``comfy/ops.py`` and ``comfy/quant_ops.py``; int8 and NVFP4 are packed by its package comfy-kitchen.
"""

import json
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

FP8 = {"float8_e4m3fn": torch.float8_e4m3fn, "float8_e5m2": torch.float8_e5m2}
"""fp8 formats by name."""
INT8, NVFP4 = "int8", "nvfp4"
LAYER_FORMATS = (*FP8, INT8, NVFP4)
"""Names of the formats."""
ROTATED = (256, 64, 16)
"""Weights that ConvRot rotates together, most first; a row must be whole groups."""
NVFP4_BLOCK = 16
SOUND_LAYERS = "audio_blocks."
"""Beginning of the names of layers that 4 bits would make sound metallic; they get int8."""

Tensors = dict[str, Tensor]
"""Tensors of a layer by their names within it."""


class LayerFormat(Protocol):
    """Format of one layer."""

    def describe(self) -> dict[str, Any]:
        """ComfyUI's description."""
        ...

    def pack(self, weight: Tensor) -> Tensors:
        """Quantise a weight (rows, columns) float32: ``weight`` and its scales."""
        ...

    def unpack(self, tensors: Tensors, shape: tuple[int, ...]) -> Tensor:
        """Weight in float32 from the result of ``pack``."""
        ...


@dataclass(frozen=True)
class Fp8:
    """One scale for a weight, which maps its largest number to the format's largest."""

    name: str

    def describe(self) -> dict[str, Any]:
        """ComfyUI's description."""
        return {"format": self.name}

    def pack(self, weight: Tensor) -> Tensors:
        """Quantise a weight (rows, columns) float32."""
        dtype, peak = FP8[self.name], weight.abs().amax()
        limit = torch.finfo(dtype).max
        scale = torch.where(peak > 0, peak / limit, torch.ones(()))
        return {"weight": (weight / scale).clamp(-limit, limit).to(dtype), "weight_scale": scale}

    def unpack(self, tensors: Tensors, shape: tuple[int, ...]) -> Tensor:
        """Weight in float32 from the result of ``pack``."""
        del shape
        return tensors["weight"].float() * tensors["weight_scale"].float()


@dataclass(frozen=True)
class Int8:
    """A scale for each row; rows are rotated in groups before, so that single large weights do not set the scale.

    Attributes:
        group: Weights that are rotated together; 0 for none.
    """

    group: int

    def describe(self) -> dict[str, Any]:
        """ComfyUI's description."""
        rotated = {"convrot": True, "convrot_groupsize": self.group} if self.group else {}
        return {"format": "int8_tensorwise", **rotated}

    def pack(self, weight: Tensor) -> Tensors:
        """Quantise a weight (rows, columns) float32."""
        rotation = {"convrot": True, "convrot_groupsize": self.group} if self.group else {}
        packed, params = _layout("TensorWiseINT8Layout").quantize(weight, per_channel=True, **rotation)
        return {"weight": packed, "weight_scale": params.scale}

    def unpack(self, tensors: Tensors, shape: tuple[int, ...]) -> Tensor:
        """Weight in float32 from the result of ``pack``."""
        layout = _layout("TensorWiseINT8Layout")
        params = layout.Params(
            scale=tensors["weight_scale"], orig_dtype=torch.float32, orig_shape=shape, convrot=bool(self.group),
            convrot_groupsize=self.group or ROTATED[0],
        )  # fmt: skip
        return layout.dequantize(tensors["weight"], params)


@dataclass(frozen=True)
class Nvfp4:
    """Four bits a weight, an fp8 scale for every 16, and one scale for all; fast on Blackwell cards."""

    def describe(self) -> dict[str, Any]:
        """ComfyUI's description."""
        return {"format": NVFP4}

    def pack(self, weight: Tensor) -> Tensors:
        """Quantise a weight (rows, columns) float32."""
        packed, params = _layout("TensorCoreNVFP4Layout").quantize(weight)
        return {"weight": packed, "weight_scale": params.block_scale, "weight_scale_2": params.scale}

    def unpack(self, tensors: Tensors, shape: tuple[int, ...]) -> Tensor:
        """Weight in float32 from the result of ``pack``."""
        layout = _layout("TensorCoreNVFP4Layout")
        params = layout.Params(
            scale=tensors["weight_scale_2"], orig_dtype=torch.float32, orig_shape=shape,
            block_scale=tensors["weight_scale"],
        )  # fmt: skip
        return layout.dequantize(tensors["weight"], params)[: shape[0], : shape[1]]


def format_for(kind: str, layer: str, columns: int) -> LayerFormat:
    """Format of a layer in a file of a kind.

    Args:
        kind: One of ``LAYER_FORMATS``.
        layer: Name of the layer.
        columns: Columns of its weight.
    """
    if kind in FP8:
        return Fp8(kind)
    if kind == NVFP4 and columns % NVFP4_BLOCK == 0 and not layer.startswith(SOUND_LAYERS):
        return Nvfp4()
    return Int8(next((group for group in ROTATED if columns % group == 0), 0))


def format_of(description: Tensor) -> LayerFormat:
    """Format that a layer's ``comfy_quant`` describes.

    Raises:
        ValueError: If it is none of those above.
    """
    read = json.loads(description.numpy().tobytes())
    if read["format"] in FP8:
        return Fp8(read["format"])
    if read["format"] == NVFP4:
        return Nvfp4()
    if read["format"] == "int8_tensorwise":
        return Int8(read.get("convrot_groupsize", ROTATED[0]) if read.get("convrot") else 0)
    raise ValueError(f"Layers quantized as {read['format']} cannot be compared; {', '.join(LAYER_FORMATS)} can.")


def _layout(name: str) -> Any:
    """Layout class of comfy-kitchen.

    Raises:
        ImportError: If the package is not installed.
    """
    try:
        from comfy_kitchen import tensor
    except ImportError as error:
        raise ImportError("int8 and nvfp4 need ComfyUI's package: pip install comfy-kitchen") from error
    return getattr(tensor, name)
