"""Quantization of large layers, to ComfyUI's formats (fp8, int8, NVFP4) or to GGUF's block formats."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .checked_files import CheckpointError
from .comfy_layers import LAYER_FORMATS, LayerFormat, format_for
from .config_from_weights import Network, network_of
from .gguf_file import PLAIN, SUFFIX, write_gguf
from .gguf_quants import BlockKind, pack, unpack
from .load_weights import check_whole, quantised_layers, without_memory
from .weight_files import WeightFiles
from .write_safetensors import Layout, OnBytes, check_target, ordered, silent, size_of, write_stream

KEPT = ("a2v_blocks.*", "v2a_blocks.*", "time_*", "text_proj", "*embedding*", "head*")
"""Layers that are not quantised by default: interactions with their mask heads, modulation, embeddings, heads.

Norms and bare parameters are not linear layers and are never quantised."""


@dataclass(frozen=True)
class Mix:
    """Assignment of GGUF's block formats to layers.

    Attributes:
        most: Format of most layers.
        finer: Format of the value projection and the second feed-forward layer in some blocks, as in llama.cpp's "M"
            mixes.
    """

    most: BlockKind
    finer: BlockKind

    def kind_of(self, layer: str, blocks: int, columns: int) -> BlockKind | None:
        """Format of one layer; None if its number of columns is not a multiple of any block."""
        kind = self.finer if layer.endswith((".v", ".ffn.2")) and _needs_more(layer, blocks) else self.most
        return next((one for one in (kind, BlockKind.Q8_0) if columns % one.value.weights == 0), None)


MIXES = {
    "Q8_0": Mix(BlockKind.Q8_0, BlockKind.Q8_0),
    "Q6_K": Mix(BlockKind.Q6_K, BlockKind.Q6_K),
    "Q5_K_M": Mix(BlockKind.Q5_K, BlockKind.Q6_K),
    "Q4_K_M": Mix(BlockKind.Q4_K, BlockKind.Q6_K),
}
"""GGUF formats by name."""


@dataclass(frozen=True)
class QuantizeConfig:
    """Options of quantization.

    Attributes:
        kind: Name of the format, one of ``LAYER_FORMATS`` or ``MIXES``.
        keep: Glob patterns of layers that are not quantised.
        full_precision_matmul: Whether ComfyUI runs matmuls in full precision even on cards that have them.
        replace: Whether to overwrite the target.
    """

    kind: str = "float8_e4m3fn"
    keep: tuple[str, ...] = KEPT
    full_precision_matmul: bool = False
    replace: bool = False

    def __post_init__(self) -> None:
        if self.kind not in (*LAYER_FORMATS, *MIXES):
            raise ValueError(f"kind is {self.kind}; it must be one of {', '.join((*LAYER_FORMATS, *MIXES))}.")

    def note(self, layer: LayerFormat) -> Tensor:
        """ComfyUI's description of a layer in a format, JSON as bytes."""
        description = layer.describe()
        if self.full_precision_matmul:
            description["full_precision_matrix_mult"] = True
        return torch.tensor(list(json.dumps(description).encode()), dtype=torch.uint8)


def quantize(
    source: Path, target: Path, config: QuantizeConfig = QuantizeConfig(), on_bytes: OnBytes = silent
) -> dict[str, Any]:
    """Quantise the large layers of a checkpoint.

    Args:
        source: A safetensors file or a folder of shards, not quantised.
        target: The file to write.
        config: Options.
        on_bytes: Progress callback.

    Returns:
        ``target``, its ``bytes``, those of the source, and ``layers``: layer name to the relative L2 error of its
        weight.

    Raises:
        CheckpointError: If the source is damaged, already quantised or not finite, or the target exists.
        ImportError: If the package that packs the format is not installed: gguf, or comfy-kitchen for int8 and NVFP4.
        NotUniAVGenError: If the source belongs to another network.
    """
    files, is_gguf = WeightFiles(source), config.kind in MIXES
    check_target(target, files.files, config.replace, SUFFIX if is_gguf else ".safetensors")
    if quantised_layers(files.entries):
        raise CheckpointError(f"{source} is already quantized. Quantize the original, or errors add up.")
    network = network_of(files.shapes, files.metadata)
    check_whole(files.shapes, network)
    layers = layers_to_quantize(network, config.keep)
    errors: dict[str, float] = {}
    if is_gguf:
        kinds = _block_kinds(files, layers, MIXES[config.kind], network.config.num_layers)
        layout = {name: (shape, _type_of(files, name, kinds)) for name, shape in files.shapes.items()}
        write_gguf(target, _packed(files, kinds, errors), layout, files.metadata, on_bytes)
    else:
        kinds = {layer: format_for(config.kind, layer, files.shapes[f"{layer}.weight"][1]) for layer in layers}
        notes = {layer: config.note(kind) for layer, kind in kinds.items()}
        tensors = _quantised(files, kinds, notes, errors)
        write_stream(target, _layout(files, kinds, notes), tensors, files.metadata, on_bytes)
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
        raise CheckpointError("The patterns to keep name every layer; nothing is left to quantize.")
    return chosen


def relative_error(got: Tensor, want: Tensor) -> float:
    """Relative L2 error."""
    return ((got.float() - want.float()).norm() / want.float().norm().clamp_min(1e-12)).item()


def _layout(files: WeightFiles, kinds: Mapping[str, LayerFormat], notes: Mapping[str, Tensor]) -> Layout:
    """Layout of the quantised file, from one packed weight of zeros for each format and shape that occurs."""

    @cache
    def packed(kind: LayerFormat, shape: tuple[int, ...]) -> Layout:
        return {leaf: (part.dtype, tuple(part.shape)) for leaf, part in kind.pack(torch.zeros(shape)).items()}

    layout = {name: (entry.dtype, entry.shape) for name, entry in files.entries.items()}
    for layer, kind in kinds.items():
        parts = packed(kind, files.shapes[f"{layer}.weight"])
        layout |= {f"{layer}.{leaf}": entry for leaf, entry in parts.items()}
        layout[f"{layer}.comfy_quant"] = (notes[layer].dtype, tuple(notes[layer].shape))
    return ordered(layout)


def _check_finite(weight: Tensor, name: str) -> None:
    if not torch.isfinite(weight).all():
        raise CheckpointError(f"{name} holds numbers that are not finite. Fetch the file again.")


def _quantised(
    files: WeightFiles, kinds: Mapping[str, LayerFormat], notes: Mapping[str, Tensor], errors: dict[str, float]
) -> Iterator[tuple[str, Tensor]]:
    """Yield all tensors, and store the relative error of each quantised weight in ``errors``."""
    for name, tensor in files.tensors():
        layer = name.removesuffix(".weight")
        if not name.endswith(".weight") or layer not in kinds:
            yield name, tensor
            continue
        _check_finite(tensor, name)
        weight = tensor.float()
        packed = kinds[layer].pack(weight)
        errors[layer] = relative_error(kinds[layer].unpack(packed, tuple(weight.shape)), weight)
        yield from ((f"{layer}.{leaf}", part) for leaf, part in packed.items())
        yield f"{layer}.comfy_quant", notes[layer]


def _block_kinds(files: WeightFiles, layers: list[str], mix: Mix, blocks: int) -> dict[str, BlockKind]:
    """Block format by name of each weight that is packed."""
    kinds = {f"{layer}.weight": mix.kind_of(layer, blocks, files.shapes[f"{layer}.weight"][1]) for layer in layers}
    return {name: kind for name, kind in kinds.items() if kind is not None}


def _needs_more(layer: str, blocks: int) -> bool:
    """True if a layer is in the first or last eighth of the blocks, or in every third block between."""
    number = int(next(part for part in layer.split(".") if part.isdecimal()))
    eighth = blocks // 8
    return number < eighth or number >= blocks - eighth or (number - eighth) % 3 == 2


def _type_of(files: WeightFiles, name: str, kinds: Mapping[str, BlockKind]) -> str:
    if name in kinds:
        return kinds[name].name
    names = {dtype: kind for kind, dtype in PLAIN.items()}
    return names.get(files.entries[name].dtype, "F32")


def _packed(
    files: WeightFiles, kinds: Mapping[str, BlockKind], errors: dict[str, float]
) -> Iterator[tuple[str, Tensor]]:
    """Yield all tensors, packed as in ``kinds``, and store the relative error of each packed weight in ``errors``."""
    for name, tensor in files.tensors():
        if name in kinds:
            weight = tensor.float()
            _check_finite(weight, name)
            data = pack(weight, kinds[name])
            errors[name.removesuffix(".weight")] = relative_error(unpack(data, kinds[name]), weight)
            yield name, data
        else:
            yield name, tensor if tensor.dtype in PLAIN.values() else tensor.float()
