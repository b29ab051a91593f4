"""Quantization to GGUF: block formats for large layers, with more bits for the most sensitive ones."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .config_from_weights import network_of
from .gguf_file import PLAIN, SUFFIX, write_gguf
from .gguf_quants import BlockKind, pack, unpack
from .load_weights import check_whole, quantised_layers
from .quantize_fp8 import KEPT, layers_to_quantize
from .weight_files import CheckpointError, WeightFiles
from .write_safetensors import OnBytes, check_target, silent, size_of


@dataclass(frozen=True)
class Mix:
    """Assignment of block formats to layers.

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
        for one in (kind, BlockKind.Q8_0):
            if columns % one.value.weights == 0:
                return one
        return None


MIXES = {
    "Q8_0": Mix(BlockKind.Q8_0, BlockKind.Q8_0),
    "Q6_K": Mix(BlockKind.Q6_K, BlockKind.Q6_K),
    "Q5_K_M": Mix(BlockKind.Q5_K, BlockKind.Q6_K),
    "Q4_K_M": Mix(BlockKind.Q4_K, BlockKind.Q6_K),
}


@dataclass(frozen=True)
class GgufConfig:
    """Options of GGUF quantization.

    Attributes:
        mix: One of ``MIXES``.
        keep: Glob patterns of layers that are not quantised.
        replace: Whether to overwrite the target.
    """

    mix: str = "Q4_K_M"
    keep: tuple[str, ...] = KEPT
    replace: bool = False

    def __post_init__(self) -> None:
        if self.mix not in MIXES:
            raise ValueError(f"mix is {self.mix}; it must be one of {', '.join(MIXES)}.")


def quantize_gguf(source: Path, target: Path, config: GgufConfig, on_bytes: OnBytes = silent) -> dict[str, Any]:
    """Quantise a checkpoint to GGUF.

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
        ImportError: If the package ``gguf`` is not installed.
        NotUniAVGenError: If the source belongs to another network.
    """
    files = WeightFiles(source)
    check_target(target, files.files, config.replace, SUFFIX)
    if quantised_layers(files.entries):
        raise CheckpointError(f"{source} is already quantised. Quantise the original, or errors add up.")
    network = network_of(files.shapes, files.metadata)
    check_whole(files.shapes, network)
    mix, kinds = MIXES[config.mix], {}
    for layer in layers_to_quantize(network, config.keep):
        kind = mix.kind_of(layer, network.config.num_layers, files.shapes[f"{layer}.weight"][1])
        kinds |= {} if kind is None else {f"{layer}.weight": kind}
    errors: dict[str, float] = {}
    layout = {name: (shape, _type_of(files, name, kinds)) for name, shape in files.shapes.items()}
    write_gguf(target, _packed(files, kinds, errors), layout, files.metadata, on_bytes)
    before = sum(size_of(entry.dtype, entry.shape) for entry in files.entries.values())
    return {"target": str(target), "bytes": target.stat().st_size, "source_bytes": before, "layers": errors}


def _needs_more(layer: str, blocks: int) -> bool:
    """Whether a layer is in the first or last eighth of the blocks, or in every third block between."""
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
        if name not in kinds:
            yield name, tensor if tensor.dtype in PLAIN.values() else tensor.float()
            continue
        weight = tensor.float()
        if not torch.isfinite(weight).all():
            raise CheckpointError(f"{name} holds numbers that are not finite. Fetch the file again.")
        data = pack(weight, kinds[name])
        difference = (unpack(data, kinds[name]) - weight).norm()
        errors[name.removesuffix(".weight")] = (difference / weight.norm().clamp_min(1e-12)).item()
        yield name, data
