"""A two-layer projection of a branch's inputs, such as mel frames or caption features, to the branch's width."""

from torch import nn

from ..layers.backend import Backend


def mlp(in_dim: int, dim: int, backend: Backend) -> nn.Sequential:
    """Layers from features of width ``in_dim`` to tokens of width ``dim``."""
    return nn.Sequential(backend.ops.Linear(in_dim, dim), nn.GELU("tanh"), backend.ops.Linear(dim, dim))
