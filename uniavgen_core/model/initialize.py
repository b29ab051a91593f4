"""Starting weights for training; at inference, weights come from a checkpoint."""

import math

from torch import nn

from .branch import Block, Head
from .cross_modal import AudioToVideoAttention, VideoToAudioAttention
from .joint import JointModel
from .speech_text import GlobalResponseNorm


def initialize(model: JointModel) -> None:
    """Set every weight to its starting value, drawing from torch's global generator.

    The output projections of the heads and of every cross-modal attention start at zero, so that the network first
    predicts zeros and each branch begins exactly as it would without the other.
    """
    nn.init.zeros_(model.audio_padding)
    for module in model.modules():
        _initialize_layer(module)
    for module in model.modules():
        if isinstance(module, Head):
            nn.init.zeros_(module.head.weight)
        elif isinstance(module, AudioToVideoAttention | VideoToAudioAttention):
            nn.init.zeros_(module.o.weight)


def _initialize_layer(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv3d):
        nn.init.xavier_uniform_(module.weight.flatten(1))
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Embedding):
        nn.init.normal_(module.weight, std=0.5)
    elif isinstance(module, GlobalResponseNorm):
        nn.init.zeros_(module.gamma)
        nn.init.zeros_(module.beta)
    elif isinstance(module, Block | Head):
        nn.init.normal_(module.modulation, std=1 / math.sqrt(module.modulation.shape[-1]))
