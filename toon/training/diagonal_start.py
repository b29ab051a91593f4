"""Starting weights, with a head start for reading: text attention that looks along the diagonal from the first step.

In every text cross-attention of the audio branch, a bias on the real rotary component of slow pairs makes queries and
keys agree where their positions agree. It is a starting value, not a part of the network.
"""

import torch

from uniavgen_core.config import ModelConfig
from uniavgen_core.layers.rope import frequencies
from uniavgen_core.model.initialize import initialize
from uniavgen_core.model.joint import JointModel
from uniavgen_core.training.training_attention import TRAINING

SLOWEST, FASTEST = 0.008, 0.4
"""Angular frequencies, radians per mel frame, of the pairs that are given the bias."""
STRENGTH = 2.9


def new_model(config: ModelConfig, seed: int) -> JointModel:
    """A network with its starting weights; the global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = JointModel(config, TRAINING)
        initialize(model)
    start_on_the_diagonal(model)
    return model


def start_on_the_diagonal(model: JointModel) -> None:
    """Set the biases of the audio branch's text attention; overwrites ``q.bias`` and ``k.bias`` there."""
    head_dim, heads = model.config.audio.head_dim, model.config.audio.num_heads
    speed = frequencies(head_dim // 2, torch.device("cpu"))
    bias = torch.zeros(heads, head_dim // 2, 2)
    bias[:, (speed >= SLOWEST) & (speed <= FASTEST), 0] = STRENGTH
    with torch.no_grad():
        for block in model.audio_blocks:
            block.cross_attn.q.bias.copy_(bias.flatten())
            block.cross_attn.k.bias.copy_(bias.flatten())
