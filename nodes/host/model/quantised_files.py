"""Check of the tensors and metadata with which ComfyUI describes quantised layers, before it reads them.

ComfyUI takes for granted that they are right: JSON of a known format, and scales beside the weight.
"""

from collections.abc import Mapping
from typing import Any

import comfy.utils
import torch
from comfy.quant_ops import QUANT_ALGOS, QuantizedTensor
from torch import Tensor

from ....uniavgen_core.checkpoint.checked_files import CheckpointError, parse_object, shown

METADATA = "_quantization_metadata"
"""Metadata entry that describes the layers in place of tensors."""
DESCRIPTION, OLD_INPUT_SCALE = ".comfy_quant", ".scale_input"
MOST_DESCRIPTION_BYTES = 1 << 16
SCALES = {
    "float8_e4m3fn": ("weight_scale",),
    "float8_e5m2": ("weight_scale",),
    "int8_tensorwise": ("weight_scale",),
    "mxfp8": ("weight_scale",),
    "nvfp4": ("weight_scale", "weight_scale_2"),
    "convrot_w4a4": ("weight_scale",),
}
"""Scales that a layer in each format has."""
PLAIN_SCALE = ("float8_e4m3fn", "float8_e5m2", "int8_tensorwise")
"""Formats with one scale for a weight, or for each of its rows."""
HALVED = ("nvfp4", "convrot_w4a4")
"""Formats that store two weights in a byte."""
PADDING = 128
"""Rows and columns by which a format may pad a weight."""


def with_descriptions(
    tensors: dict[str, Tensor], metadata: Mapping[str, str]
) -> tuple[dict[str, Tensor], Mapping[str, str]]:
    """Bring all of ComfyUI's descriptions of quantised layers into its newest form.

    Args:
        tensors: Tensors of a file by name.
        metadata: The file's metadata.

    Raises:
        CheckpointError: If a description is not one; the message names the layer.
    """
    if METADATA in metadata:
        layers = parse_object(metadata[METADATA], f"The metadata entry {METADATA}").get("layers")
        if not isinstance(layers, dict):
            raise CheckpointError(f"The metadata entry {METADATA} names no layers. Get the file again.")
        for layer, description in layers.items():
            _format_of(layer, description)
    for name, tensor in tensors.items():
        if name.endswith(OLD_INPUT_SCALE) and tensor.numel() != 1:
            raise CheckpointError(f"The tensor {shown(name)} must be one number. Get the file again.")
    tensors, converted = comfy.utils.convert_old_quants(tensors, "", metadata=dict(metadata))
    for name, tensor in tensors.items():
        if name.endswith(DESCRIPTION):
            layer = name.removesuffix(DESCRIPTION)
            _check_layer(layer, _format_of(layer, _description(name, tensor)), tensors)
    return tensors, converted


def check_packed(tensors: Mapping[str, Tensor], expected: Mapping[str, tuple[int, ...]]) -> None:
    """Check that weights have numbers of a kind and, if quantised, of a shape that the network's layers can have.

    Args:
        tensors: Tensors of a file, checked by ``with_descriptions``.
        expected: Tensor name to shape of the network.

    Raises:
        CheckpointError: If one cannot; the message names it.
    """
    for name in expected:
        weight, description = tensors.get(name), f"{name.removesuffix('.weight')}{DESCRIPTION}"
        if description in tensors and weight is not None and name.endswith(".weight"):
            kind = _format_of(name, _description(description, tensors[description]))
            _check_packed_shape(name, kind, weight, expected[name])
        elif weight is not None and not weight.dtype.is_floating_point:
            raise CheckpointError(
                f"The tensor {shown(name)} is {weight.dtype}, not floating point. Get the file again."
            )


def _check_packed_shape(name: str, kind: str, weight: Tensor, expected: tuple[int, ...]) -> None:
    columns = expected[-1] // 2 if kind in HALVED else expected[-1]
    least = (expected[0], columns)
    if len(expected) != 2 or any(not n <= size < n + PADDING for size, n in zip(weight.shape, least, strict=True)):
        raise CheckpointError(
            f"The checkpoint does not fit the model: as {kind}, {shown(name)} is {tuple(weight.shape)}; the network's "
            f"is {expected}. Get the file again."
        )


def _description(name: str, tensor: Tensor) -> dict[str, Any]:
    if tensor.dtype is not torch.uint8 or tensor.ndim != 1 or len(tensor) > MOST_DESCRIPTION_BYTES:
        raise CheckpointError(f"The tensor {shown(name)} describes no quantized layer. Get the file again.")
    return parse_object(tensor.numpy().tobytes(), f"The tensor {shown(name)}")


def _format_of(layer: str, description: Any) -> str:
    kind = description.get("format") if isinstance(description, dict) else None
    if not isinstance(kind, str) or kind not in QUANT_ALGOS or kind not in SCALES:
        raise CheckpointError(
            f"The layer {shown(layer)} is quantized as {shown(repr(kind))}, which this ComfyUI does not read. It "
            f"reads {', '.join(known for known in SCALES if known in QUANT_ALGOS)}. Choose another file, or update "
            "ComfyUI."
        )
    params = description.get("params", {})
    sizes = [part.get("convrot_groupsize", 256) for part in (description, params if isinstance(params, dict) else {})]
    if not all(type(size) is int and 0 < size <= 1 << 16 for size in sizes):
        raise CheckpointError(f"The layer {shown(layer)} has the group size {shown(repr(sizes))}. Get the file again.")
    return kind


def _check_layer(layer: str, kind: str, tensors: Mapping[str, Tensor]) -> None:
    """Check the weight and the scales of a quantised layer; a layer without a weight is left to the comparison."""
    weight = tensors.get(f"{layer}.weight")
    if weight is None:
        return
    if weight.ndim != 2 or isinstance(weight, QuantizedTensor) or weight.dtype.itemsize != 1:
        raise CheckpointError(
            f"The layer {shown(layer)} is quantized as {kind}, but its weight is {weight.dtype} of the shape "
            f"{shown(tuple(weight.shape))}. Get the file again."
        )
    for scale in SCALES[kind]:
        found = tensors.get(f"{layer}.{scale}")
        if found is None:
            raise CheckpointError(f"The quantized layer {shown(layer)} has no {scale}. Get the file again.")
        if kind in PLAIN_SCALE and (found.numel() not in (1, len(weight)) or not found.dtype.is_floating_point):
            raise CheckpointError(
                f"The {scale} of the quantized layer {shown(layer)} is {found.dtype} of the shape "
                f"{shown(tuple(found.shape))}, not one number, or one for each row. Get the file again."
            )
