"""Quantization to scaled fp8: 8-bit weights with one scale for each large layer, in ComfyUI's mixed-precision format.

A quantised layer has ``weight`` (fp8), ``weight_scale`` (float32; the weight is ``weight * weight_scale``) and
``comfy_quant`` (JSON as bytes). Source: ComfyUI's ``comfy/ops.py`` and ``comfy/quant_ops.py``.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .config_from_weights import Network, network_of
from .load_weights import check_whole, quantised_layers, without_memory
from .weight_files import CheckpointError, WeightFiles
from .write_safetensors import OnBytes, check_target, ordered, silent, size_of, write_stream

FORMATS = {"float8_e4m3fn": torch.float8_e4m3fn, "float8_e5m2": torch.float8_e5m2}
KEPT = ("a2v_blocks.*", "v2a_blocks.*", "time_*", "text_proj", "*embedding*", "head*")
"""Layers that are not quantised by default: interactions with their mask heads, modulation, embeddings, heads.

Norms and bare parameters are not linear layers and are never quantised."""


@dataclass(frozen=True)
class QuantizeConfig:
    """Options of fp8 quantization.

    Attributes:
        kind: Name of the 8-bit format, one of ``FORMATS``.
        keep: Glob patterns of layers that are not quantised.
        full_precision_matmul: Whether ComfyUI runs matmuls in full precision even on cards with fp8 matmuls.
        replace: Whether to overwrite the target.
    """

    kind: str = "float8_e4m3fn"
    keep: tuple[str, ...] = KEPT
    full_precision_matmul: bool = False
    replace: bool = False

    def __post_init__(self) -> None:
        if self.kind not in FORMATS:
            raise ValueError(f"kind is {self.kind}; it must be one of {', '.join(FORMATS)}.")

    def note(self) -> Tensor:
        """ComfyUI's description of a quantised weight, JSON as bytes."""
        description: dict[str, Any] = {"format": self.kind}
        if self.full_precision_matmul:
            description["full_precision_matrix_mult"] = True
        return torch.tensor(list(json.dumps(description).encode()), dtype=torch.uint8)


def quantize(
    source: Path, target: Path, config: QuantizeConfig = QuantizeConfig(), on_bytes: OnBytes = silent
) -> dict[str, Any]:
    """Quantise the large layers of a checkpoint to fp8.

    Args:
        source: A safetensors file or a folder of shards, not quantised.
        target: The file to write.
        config: Options.
        on_bytes: Progress callback, first of computing the scales, then of writing.

    Returns:
        ``target``, its ``bytes``, those of the source, and ``layers``: layer name to the relative L2 error of its
        weight.

    Raises:
        CheckpointError: If the source is damaged, already quantised or not finite, or the target exists.
        NotUniAVGenError: If the source belongs to another network.
    """
    files = WeightFiles(source)
    check_target(target, files.files, config.replace)
    if quantised_layers(files.entries):
        raise CheckpointError(f"{source} is already quantised. Quantise the original, or errors add up.")
    network = network_of(files.shapes, files.metadata)
    check_whole(files.shapes, network)
    layers = layers_to_quantize(network, config.keep)
    scales = _scales(files, layers, torch.finfo(FORMATS[config.kind]).max, on_bytes)
    layout = _layout(files, layers, config)
    errors: dict[str, float] = {}
    tensors = _converted(files, layout, scales, config, errors)
    write_stream(target, layout, tensors, files.metadata, on_bytes)
    before = sum(size_of(entry.dtype, entry.shape) for entry in files.entries.values())
    return {"target": str(target), "bytes": target.stat().st_size, "source_bytes": before, "layers": errors}


def layers_to_quantize(network: Network, keep: Iterable[str]) -> list[str]:
    """Names of the linear layers that match no pattern of ``keep``.

    Raises:
        CheckpointError: If a pattern matches no layer, or no layer is left.
    """
    modules = without_memory(network).named_modules()
    names = [name for name, module in modules if isinstance(module, nn.Linear)]
    idle = [pattern for pattern in keep if pattern not in KEPT and not any(fnmatchcase(n, pattern) for n in names)]
    if idle:
        raise CheckpointError(f"No layer is named {' or '.join(idle)}. Names look like {names[0]} or {names[-1]}.")
    chosen = [name for name in names if not any(fnmatchcase(name, pattern) for pattern in keep)]
    if not chosen:
        raise CheckpointError("The patterns to keep name every layer; nothing is left to quantise.")
    return chosen


def dequantized(weight: Tensor, scale: Tensor) -> Tensor:
    """Dequantise an fp8 weight to float32."""
    return weight.float() * scale


def _scales(files: WeightFiles, layers: list[str], largest: float, on_bytes: OnBytes) -> dict[str, Tensor]:
    """Scale of each layer, which maps its largest weight to the format's largest number."""
    scales = {}
    for done, (name, weight) in enumerate(files.tensors([f"{layer}.weight" for layer in layers])):
        peak = weight.abs().amax().float()
        if not torch.isfinite(peak):
            raise CheckpointError(f"{name} holds numbers that are not finite. Fetch the file again.")
        scales[name.removesuffix(".weight")] = torch.where(peak > 0, peak / largest, torch.ones(()))
        on_bytes(done + 1, len(layers))
    return scales


def _layout(files: WeightFiles, layers: list[str], config: QuantizeConfig) -> dict:
    layout = {name: (entry.dtype, entry.shape) for name, entry in files.entries.items()}
    for layer in layers:
        layout[f"{layer}.weight"] = (FORMATS[config.kind], files.entries[f"{layer}.weight"].shape)
        layout[f"{layer}.weight_scale"] = (torch.float32, ())
        layout[f"{layer}.comfy_quant"] = (torch.uint8, tuple(config.note().shape))
    return ordered(layout)


def _converted(
    files: WeightFiles, layout: dict, scales: dict[str, Tensor], config: QuantizeConfig, errors: dict[str, float]
) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of the layout, and store the relative error of each quantised weight in ``errors``."""
    stored = files.tensors([name for name in layout if name in files.entries])
    for name in layout:
        layer, _, leaf = name.rpartition(".")
        if leaf == "weight_scale":
            yield name, scales[layer]
        elif leaf == "comfy_quant":
            yield name, config.note()
        elif leaf == "weight" and layer in scales:
            yield name, _rounded(next(stored)[1].float(), layer, scales[layer], config, errors)
        else:
            yield next(stored)


def _rounded(weight: Tensor, layer: str, scale: Tensor, config: QuantizeConfig, errors: dict[str, float]) -> Tensor:
    limit = torch.finfo(FORMATS[config.kind]).max
    small = (weight / scale).clamp(-limit, limit).to(FORMATS[config.kind])
    difference = (dequantized(small, scale) - weight).norm()
    errors[layer] = (difference / weight.norm().clamp_min(1e-12)).item()
    return small
