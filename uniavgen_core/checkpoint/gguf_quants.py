"""GGUF's block quantization: rows of weights in blocks that share scales, packed into bytes, and back.

Reading uses tensor operations only, so that it runs on the device of the weights. Writing rounds to nearest within the
range of each block, without llama.cpp's search for better scales. Source: the layouts of ggml's ``block_q8_0``,
``block_q6_K``, ``block_q5_K`` and ``block_q4_K``.
Own code, because the package ``gguf`` writes no K-quants from Python.
Dimension key: N blocks, S sub-blocks of a block, W weights of a sub-block.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor

SUB_BLOCKS = 8
"""Number of sub-blocks, of 32 weights each, in a block of the formats with minima."""


def _halves(values: Tensor) -> Tensor:
    """Bytes of numbers as float16, (N, 2)."""
    return values.reshape(-1, 1).half().view(torch.uint8)


def _float(data: Tensor) -> Tensor:
    """Float32 numbers (N, 1) of the bytes of float16 (N, 2)."""
    return data.contiguous().view(torch.float16).float()


def _split(data: Tensor, *sizes: int) -> tuple[Tensor, ...]:
    return data.split([*sizes, data.shape[1] - sum(sizes)], dim=1)


def _shifts(bits: int, like: Tensor) -> Tensor:
    """Bit offsets of the numbers in a byte, (8 / bits, 1); made on the device, so that it does not wait for a copy."""
    return torch.arange(0, 8, bits, dtype=torch.uint8, device=like.device)[:, None]


def _times(steps: Tensor, numbers: Tensor, dtype: torch.dtype) -> Tensor:
    """Integers times their float32 steps, rounded to a dtype once."""
    return torch.mul(steps, numbers, out=torch.empty(numbers.shape, dtype=dtype, device=numbers.device))


def read_q8_0(data: Tensor, dtype: torch.dtype) -> Tensor:
    """Dequantise blocks of 32, (N, 34) bytes to (N, 32): a scale, then a byte for each weight."""
    scale, weights = _split(data, 2)
    return _times(_float(scale), weights.view(torch.int8), dtype)


def write_q8_0(weights: Tensor) -> Tensor:
    """Quantise; the inverse of ``read_q8_0``."""
    scale = weights.abs().amax(1, keepdim=True) / 127
    rounded = _over(weights, _float(_halves(scale))).round().clamp(-127, 127)
    return torch.cat((_halves(scale), rounded.to(torch.int8).view(torch.uint8)), dim=1)


def read_q6_k(data: Tensor, dtype: torch.dtype) -> Tensor:
    """Dequantise blocks of 256, (N, 210) bytes to (N, 256): 4 low and 2 high bits a weight, a signed scale for 16."""
    low, high, scales, scale = _split(data, 128, 64, 16)
    low = (low.view(-1, 2, 1, 64) >> _shifts(4, data) & 15).reshape(-1, 8, 32)
    high = (high.reshape(-1, 2, 1, 32) >> _shifts(2, data) & 3).reshape(-1, 8, 32)
    weights = (low | high << 4).to(torch.int8) - 32
    steps = _float(scale) * scales.contiguous().view(torch.int8)
    return _times(steps[..., None], weights.reshape(-1, 16, 16), dtype).flatten(1)


def write_q6_k(weights: Tensor) -> Tensor:
    """Quantise; the inverse of ``read_q6_k``."""
    parts = weights.view(-1, 16, 16)
    peaks = parts.gather(2, parts.abs().argmax(2, keepdim=True))[..., 0] / -32
    scale = _halves(peaks.abs().amax(1) / 127)
    scales = _over(peaks, _float(scale)).round().clamp(-127, 127)
    numbers = _over(parts, (_float(scale) * scales)[..., None]).round().clamp(-32, 31).to(torch.int16) + 32
    numbers = numbers.to(torch.uint8).view(-1, 2, 4, 32)
    low = (numbers & 15).view(-1, 2, 2, 64)
    low = low[:, :, 0] | low[:, :, 1] << 4
    high = _joined(numbers >> 4, 2)
    return torch.cat((low.flatten(1), high.flatten(1), scales.to(torch.int8).view(torch.uint8), scale), dim=1)


def read_q5_k(data: Tensor, dtype: torch.dtype) -> Tensor:
    """Dequantise blocks of 256, (N, 176) bytes to (N, 256): 5 bits a weight, a scale and a minimum for every 32."""
    ends, scales, high, low = _split(data, 4, 12, 32)
    high = high[:, None] >> _shifts(1, data) & 1
    return _with_minima(_nibbles(low) | high << 4, ends, scales, dtype)


def write_q5_k(weights: Tensor) -> Tensor:
    """Quantise; the inverse of ``read_q5_k``."""
    numbers, ends, scales = _ranged(weights, 31)
    high = _joined((numbers >> 4)[:, None], 1)[:, 0]
    return torch.cat((ends, scales, high, _packed_nibbles(numbers & 15)), dim=1)


def read_q4_k(data: Tensor, dtype: torch.dtype) -> Tensor:
    """Dequantise blocks of 256, (N, 144) bytes to (N, 256): 4 bits a weight, a scale and a minimum for every 32."""
    ends, scales, weights = _split(data, 4, 12)
    return _with_minima(_nibbles(weights), ends, scales, dtype)


def write_q4_k(weights: Tensor) -> Tensor:
    """Quantise; the inverse of ``read_q4_k``."""
    numbers, ends, scales = _ranged(weights, 15)
    return torch.cat((ends, scales, _packed_nibbles(numbers)), dim=1)


def _nibbles(data: Tensor) -> Tensor:
    """Nibbles of bytes, (N, 128) to (N, 8, 32): the low nibbles of 32 bytes, then their high nibbles."""
    return (data.reshape(-1, 4, 1, 32) >> _shifts(4, data) & 15).reshape(-1, SUB_BLOCKS, 32)


def _packed_nibbles(numbers: Tensor) -> Tensor:
    pairs = numbers.view(-1, 4, 2, 32)
    return (pairs[:, :, 0] | pairs[:, :, 1] << 4).flatten(1)


def _joined(numbers: Tensor, bits: int) -> Tensor:
    """Pack numbers of a few bits into bytes along the second-to-last axis."""
    joined = torch.zeros_like(numbers[..., 0, :])
    for place, part in enumerate(numbers.unbind(-2)):
        joined |= part << bits * place
    return joined


def _with_minima(numbers: Tensor, ends: Tensor, packed: Tensor, dtype: torch.dtype) -> Tensor:
    """Dequantise blocks whose sub-blocks have 6-bit scales and minima in 12 bytes."""
    first, second, third = packed.view(-1, 3, 4).unbind(1)
    scales = torch.cat((first & 63, third & 15 | first >> 2 & 48), dim=1)
    minima = torch.cat((second & 63, third >> 4 | second >> 2 & 48), dim=1)
    steps, offsets = _float(ends[:, :2]) * scales, _float(ends[:, 2:]) * minima
    weights = steps[..., None] * numbers
    return torch.sub(weights, offsets[..., None], out=torch.empty_like(weights, dtype=dtype)).flatten(1)


def _ranged(weights: Tensor, most: int) -> tuple[Tensor, Tensor, Tensor]:
    """Quantise to 0 ... ``most``: numbers (N, 8, 32), and the bytes of the blocks' and the sub-blocks' scales."""
    parts = weights.view(-1, SUB_BLOCKS, 32)
    minima = -parts.amin(2).clamp_max(0)
    steps = (parts.amax(2).clamp_min(0) + minima) / most
    ends = torch.cat([_halves(values.amax(1) / 63) for values in (steps, minima)], dim=1)
    step, offset = _float(ends[:, :2]), _float(ends[:, 2:])
    scales, offsets = (
        _over(values, end).round().clamp(0, 63).to(torch.uint8) for values, end in ((steps, step), (minima, offset))
    )
    shifted = parts + (offset * offsets)[..., None]
    numbers = _over(shifted, (step * scales)[..., None]).round().clamp(0, most).to(torch.uint8)
    first = scales[:, :4] | scales[:, 4:] >> 4 << 6
    second = offsets[:, :4] | offsets[:, 4:] >> 4 << 6
    third = scales[:, 4:] & 15 | (offsets[:, 4:] & 15) << 4
    return numbers, ends, torch.cat((first, second, third), dim=1)


def _over(values: Tensor, steps: Tensor) -> Tensor:
    """Values divided by steps; 0 where a step is 0."""
    return torch.where(steps == 0, 0.0, values / steps)


@dataclass(frozen=True)
class BlockFormat:
    """One block format.

    Attributes:
        weights: Number of weights in a block.
        size: Bytes of a block.
        scales: Places of the float16 numbers in a block by which all its weights are multiplied, bytes.
        read: Function from bytes (N, size) to weights (N, weights) of a dtype, computed in float32.
        write: The inverse.
    """

    weights: int
    size: int
    scales: tuple[int, ...]
    read: Callable[[Tensor, torch.dtype], Tensor]
    write: Callable[[Tensor], Tensor]


class BlockKind(Enum):
    """Block formats by their GGUF names."""

    Q8_0 = BlockFormat(32, 34, (0,), read_q8_0, write_q8_0)
    Q6_K = BlockFormat(256, 210, (208,), read_q6_k, write_q6_k)
    Q5_K = BlockFormat(256, 176, (0, 2), read_q5_k, write_q5_k)
    Q4_K = BlockFormat(256, 144, (0, 2), read_q4_k, write_q4_k)


def pack(weights: Tensor, kind: BlockKind) -> Tensor:
    """Pack a matrix.

    Args:
        weights: (rows, columns), columns a multiple of the format's block.
        kind: The format.

    Returns:
        Bytes, (rows, bytes of a row).

    Raises:
        ValueError: If the number of columns is not a multiple of the block.
    """
    form = kind.value
    if weights.shape[1] % form.weights:
        raise ValueError(f"{weights.shape[1]} columns are not a multiple of {form.weights}, the block of {kind.name}.")
    return form.write(weights.float().reshape(-1, form.weights)).view(len(weights), -1)


def unpack(data: Tensor, kind: BlockKind, dtype: torch.dtype = torch.float32) -> Tensor:
    """Unpack bytes (rows, bytes of a row) to weights, (rows, columns), computed in float32 and rounded once."""
    form = kind.value
    return form.read(data.reshape(-1, form.size), dtype).view(len(data), -1)
