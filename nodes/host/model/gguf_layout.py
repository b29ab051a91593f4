"""GGUF weights as ComfyUI's quantised tensors: packed in memory and on the device, unpacked layer by layer."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from comfy.quant_ops import QuantizedLayout, QuantizedTensor, register_layout_class
from comfy_kitchen.tensor.base import BaseLayoutParams
from torch import Tensor, nn

from ....uniavgen_core.checkpoint.checked_files import naming
from ....uniavgen_core.checkpoint.gguf_file import GgufFile
from ....uniavgen_core.checkpoint.gguf_quants import BlockKind, pack, unpack

LAYOUT = "UniAVGenGguf"


class GgufLayout(QuantizedLayout):
    """Layout of weights in GGUF's block formats, which ComfyUI keeps packed and dequantises on use."""

    @dataclass(frozen=True)
    class Params(BaseLayoutParams):
        """Parameters of a packed weight; ``scale`` is None, because every block has its own."""

        scale: Any  # pyright: ignore[reportIncompatibleVariableOverride] - ComfyUI has a tensor here

        kind: str = BlockKind.Q8_0.name

        def _tensor_fields(self) -> list[str]:
            return []

    @classmethod
    def quantize(cls, tensor: Tensor, kind: str = BlockKind.Q8_0.name, **_: Any) -> tuple[Tensor, Params]:
        """Pack a matrix; ComfyUI's hints on scales and rounding do not apply to blocks."""
        data = pack(tensor, BlockKind[kind])
        return data, cls.Params(scale=None, orig_dtype=tensor.dtype, orig_shape=tuple(tensor.shape), kind=kind)

    @classmethod
    def dequantize(cls, qdata: Tensor, params: Params) -> Tensor:
        """Unpack bytes (rows, bytes of a row) into the matrix."""
        return unpack(qdata, BlockKind[params.kind], params.orig_dtype)

    @classmethod
    def get_plain_tensors(cls, qtensor: QuantizedTensor) -> tuple[Tensor, ...]:
        return (qtensor._qdata,)

    @classmethod
    def state_dict_tensors(cls, qdata: Tensor, params: Params) -> dict[str, Tensor]:
        del params
        return {"": qdata}

    @classmethod
    def requantize_kwargs(cls, qtensor: QuantizedTensor) -> dict[str, Any]:
        return {"kind": qtensor._params.kind}


register_layout_class(LAYOUT, GgufLayout)


def read_gguf(path: Path, dtype: torch.dtype) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Map the tensors of a GGUF file, packed ones as quantised tensors, and read its metadata.

    Args:
        path: The file.
        dtype: Nominal dtype of packed weights until the network's is known.

    Raises:
        CheckpointError: If the file is damaged or has an unknown format.
        ImportError: If the package ``gguf`` is not installed.
    """
    file = GgufFile(path)
    with naming(path):
        tensors = {name: file.stored(name) for name in file.entries}
    for name, kind in file.kinds.items():
        params = GgufLayout.Params(scale=None, orig_dtype=dtype, orig_shape=file.shapes[name], kind=kind.name)
        tensors[name] = QuantizedTensor(tensors[name], LAYOUT, params)
    return tensors, file.metadata


def mark_packed_layers(network: nn.Module) -> None:
    """Set ``quant_format`` of each packed layer, which ComfyUI reads when it computes sizes."""
    for module in network.modules():
        weight = module._parameters.get("weight")
        if isinstance(weight, QuantizedTensor) and weight._layout_cls == LAYOUT:
            module.quant_format = weight._params.kind
