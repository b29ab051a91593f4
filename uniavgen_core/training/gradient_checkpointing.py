"""The joint network with gradient checkpointing: a layer's activations are computed again when they are needed.

Memory falls from all layers' activations to one layer's and the streams between them, for one more forward pass.
"""

from functools import partial
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from ..config import Interaction
from ..model.joint import JointModel, JointState
from .active_adapter import recall_adapter


class RecomputedModel(JointModel):
    """A ``JointModel`` that keeps only the streams between layers for the backward pass."""

    def run_layer(self, layer: int, state: JointState, interaction: Interaction, options: Any = None) -> JointState:
        """Run one layer; its activations are forgotten and recomputed, which changes no gradient."""
        if not torch.is_grad_enabled():
            return super().run_layer(layer, state, interaction, options)
        # Nothing in a layer is random, so no generator's state is kept; adapters are those of the forward pass.
        layer_after: Any = checkpoint(
            super().run_layer, layer, state, interaction, options, use_reentrant=False, preserve_rng_state=False,
            context_fn=partial(recall_adapter, self),
        )  # fmt: skip
        return layer_after
