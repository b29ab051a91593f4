"""Features of times and positions: sinusoidal ones, and rotary embedding in one and three dimensions.

Pairs are interleaved: channels 2i and 2i + 1 rotate together. Source: RoFormer (arXiv:2104.09864); the three-way split
of the pairs over (time, row, column) as in Wan.
A rotary table holds a 2x2 matrix for every token and pair, (1, N, 1, P, 2, 2), as the kernels of ComfyUI take it; the
first axis is B where every sequence of a batch has its own.
Dimension key: B batch, N tokens, P pairs per head, H heads, T frames.
"""

import torch
from torch import Tensor

THETA = 10_000.0
COMPLEX = ("cpu", "cuda", "meta")
"""Devices with complex numbers, by which pairs rotate in fewer operations: on a CPU in a tenth of the time."""


def exact(device: torch.device) -> torch.dtype:
    """Dtype for angles: float64, because a time of 1000 leaves float32 few digits; float32 on devices without it."""
    return torch.float32 if device.type == "mps" else torch.float64


def sinusoid(positions: Tensor, dim: int) -> Tensor:
    """Sinusoidal features, cosines first.

    Args:
        positions: Times (0..1000) or positions, any shape.
        dim: Feature width 2 P, even.

    Returns:
        Features, float32, (..., dim): P cosines, then P sines.

    Source: Attention Is All You Need (arXiv:1706.03762), with the halves in Wan's order.
    """
    angles = positions.to(exact(positions.device))[..., None] * frequencies(dim // 2, positions.device)
    return torch.cat((angles.cos(), angles.sin()), dim=-1).float()


def axis_pairs(head_dim: int) -> tuple[int, int, int]:
    """Rotated pairs given to (time, row, column) in a head of ``head_dim`` channels."""
    pairs = head_dim // 2
    return pairs - 2 * (pairs // 3), pairs // 3, pairs // 3


def frequencies(pairs: int, device: torch.device) -> Tensor:
    """Angular frequency of every pair, (P,)."""
    return THETA ** -(torch.arange(pairs, dtype=exact(device), device=device) / pairs)


def rope_1d(positions: Tensor, head_dim: int) -> Tensor:
    """Rotary table of one axis, on all pairs.

    Args:
        positions: Position of each token, (N,), or (B, N) where every sequence of a batch has its own.
        head_dim: Channels per head.

    Returns:
        Rotary table, float32, (1, N, 1, P, 2, 2) or (B, N, 1, P, 2, 2).
    """
    positions = torch.atleast_2d(positions).to(exact(positions.device))
    return _table(positions[..., None] * frequencies(head_dim // 2, positions.device))


def rope_3d(times: Tensor, rows: int, columns: int, head_dim: int) -> Tensor:
    """Rotary table of a (time, row, column) grid, tokens in that order.

    Args:
        times: Time position of each frame, (T,).
        rows: Rows of the grid.
        columns: Columns of the grid.
        head_dim: Channels per head.

    Returns:
        Rotary table, float32, (1, T * rows * columns, 1, P, 2, 2).
    """
    device = times.device
    axes = (times, *(torch.arange(n, device=device) for n in (rows, columns)))
    grid = torch.meshgrid(*(axis.to(exact(device)) for axis in axes), indexing="ij")
    pairs = axis_pairs(head_dim)
    angles = [axis.flatten()[:, None] * frequencies(n, device) for axis, n in zip(grid, pairs, strict=True)]
    return _table(torch.cat(angles, dim=-1)[None])


def rope_time_only(times: Tensor, head_dim: int) -> Tensor:
    """Rotary table of the time pairs alone, with the frequencies that ``rope_1d`` gives those pairs.

    Args:
        times: Time position of each token, (N,).
        head_dim: Channels per head.

    Returns:
        Rotary table, float32, (1, N, 1, P, 2, 2); it leaves row and column pairs as they are.
    """
    is_time = torch.arange(head_dim // 2, device=times.device) < axis_pairs(head_dim)[0]
    times = times.to(exact(times.device))
    return _table((times[:, None] * frequencies(head_dim // 2, times.device) * is_time)[None])


def apply_rope(x: Tensor, rope: Tensor) -> Tensor:
    """Rotate every head of every token.

    Args:
        x: Queries or keys, (B, N, H, 2 P).
        rope: Rotary table, (1 or B, N, 1, P, 2, 2).

    Returns:
        Rotated tokens, shape and dtype of ``x``.
    """
    if x.device.type not in COMPLEX:
        first, second = rope.unbind(-1)
        even, odd = x.unflatten(-1, (-1, 1, 2)).unbind(-1)
        return torch.addcmul(first * even, second, odd).flatten(-2).to(x.dtype)
    pairs = x.to(torch.promote_types(x.dtype, rope.dtype)).unflatten(-1, (-1, 2))
    rotated = torch.view_as_complex(pairs) * torch.view_as_complex(rope[..., 0, :]).conj()
    return torch.view_as_real(rotated).flatten(-2).to(x.dtype)


def _table(angles: Tensor) -> Tensor:
    """Rotation matrices of angles (B, N, P), with an axis for the heads, (B, N, 1, P, 2, 2)."""
    cos, sin = angles.cos(), angles.sin()
    return torch.stack((cos, -sin, sin, cos), dim=-1).unflatten(-1, (2, 2))[:, :, None].float()
