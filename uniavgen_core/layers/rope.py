"""Rotary position embedding in one and three dimensions.

Pairs are interleaved: channels 2i and 2i + 1 rotate together. Source: RoFormer (arXiv:2104.09864); the three-way split
of the pairs over (time, row, column) as in Wan.
Dimension key: N tokens, P pairs per head, H heads.
"""

import torch
from einops import rearrange
from torch import Tensor

from .embeddings import THETA, exact


def axis_pairs(head_dim: int) -> tuple[int, int, int]:
    """Rotated pairs given to (time, row, column) in a head of ``head_dim`` channels."""
    pairs = head_dim // 2
    return pairs - 2 * (pairs // 3), pairs // 3, pairs // 3


def frequencies(pairs: int, device: torch.device) -> Tensor:
    """Angular frequency of every pair, (P,)."""
    return THETA ** -(torch.arange(pairs, dtype=exact(device), device=device) / pairs)


def rotation_1d(positions: Tensor, head_dim: int) -> Tensor:
    """Rotations along one axis on all pairs.

    Args:
        positions: Position of each token, (N,), or (B, N) where every sequence of a batch has its own.
        head_dim: Channels per head.

    Returns:
        Cosine and sine, float32, (N, P, 2) or (B, N, P, 2).
    """
    return _rotation(positions.to(exact(positions.device))[..., None] * frequencies(head_dim // 2, positions.device))


def rotation_3d(times: Tensor, rows: int, columns: int, head_dim: int) -> Tensor:
    """Rotations over a (time, row, column) grid, tokens in that order.

    Args:
        times: Time position of each frame, (T,).
        rows: Rows of the grid.
        columns: Columns of the grid.
        head_dim: Channels per head.

    Returns:
        Cosine and sine, float32, (T * rows * columns, P, 2).
    """
    device = times.device
    axes = (times, *(torch.arange(n, device=device) for n in (rows, columns)))
    grid = torch.meshgrid(*(axis.to(exact(device)) for axis in axes), indexing="ij")
    pairs = axis_pairs(head_dim)
    angles = [axis.flatten()[:, None] * frequencies(n, device) for axis, n in zip(grid, pairs, strict=True)]
    return _rotation(torch.cat(angles, dim=-1))


def rotation_time_only(times: Tensor, head_dim: int) -> Tensor:
    """Rotations of the time pairs alone, with the frequencies ``rotation_1d`` gives those pairs.

    Args:
        times: Time position of each token, (N,).
        head_dim: Channels per head.

    Returns:
        Cosine and sine, float32, (N, P, 2); row and column pairs stay as they are.
    """
    turning = torch.arange(head_dim // 2, device=times.device) < axis_pairs(head_dim)[0]
    return _rotation(times.to(exact(times.device))[:, None] * frequencies(head_dim // 2, times.device) * turning)


def rotate(x: Tensor, rotation: Tensor, heads: int) -> Tensor:
    """Rotate every head of every token.

    Args:
        x: Queries or keys, (B, N, H * 2 P).
        rotation: Cosine and sine, (N, P, 2) or (B, N, P, 2).
        heads: Number of heads.

    Returns:
        Rotated tokens, shape and dtype of ``x``.
    """
    pairs = rearrange(x, "b n (h p two) -> b n h p two", h=heads, two=2)
    cos, sin = rotation[..., None, :, :].unbind(-1)
    even, odd = pairs.unbind(-1)
    rotated = torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1)
    return rearrange(rotated, "b n h p two -> b n (h p two)").to(x.dtype)


def _rotation(angles: Tensor) -> Tensor:
    return torch.stack((angles.cos(), angles.sin()), dim=-1).float()
