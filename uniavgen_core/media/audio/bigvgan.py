"""Log-mel to sound by the release's vocoder, the BigVGAN of Qwen2.5-Omni as ``transformers`` has it.

Source: BigVGAN (Lee et al., arXiv:2206.04658); Qwen2.5-Omni (arXiv:2503.20215), in which it is a part of ``token2wav``.
Dimension key: B batch, M mel bins, F mel frames.
"""

from math import ceil
from typing import Protocol

from torch import Tensor, nn

from .vocoder_chunks import CHUNK_FRAMES, ChunkedVocoder

_EDGE_REACH = 3  # Of the first and the last convolution, kernel 7.
_ACTIVATION_REACH = 6  # Of an anti-aliased activation: 12 taps up by 2, 12 taps down by 2.


class BigVGANConfig(Protocol):
    """What ``transformers`` says of a BigVGAN's layers."""

    upsample_rates: list[int]
    upsample_kernel_sizes: list[int]
    resblock_kernel_sizes: list[int]
    resblock_dilation_sizes: list[list[int]]


def mel_frames_heard(config: BigVGANConfig) -> int:
    """Mel frames to either side of its own that a sample can depend on, 38 for the released vocoder.

    Every layer adds its reach divided by the rate it works at, the stages' widest residual block in place of all.
    """
    blocks = zip(config.resblock_kernel_sizes, config.resblock_dilation_sizes, strict=True)
    block_reach = max(
        sum((kernel // 2) * (dilation + 1) + 2 * _ACTIVATION_REACH for dilation in dilations)
        for kernel, dilations in blocks
    )
    reach, rate = float(_EDGE_REACH), 1
    for factor, kernel in zip(config.upsample_rates, config.upsample_kernel_sizes, strict=True):
        reach += kernel / factor / rate
        rate *= factor
        reach += block_reach / rate
    return ceil(reach + (_ACTIVATION_REACH + _EDGE_REACH) / rate)


class BigVGAN(ChunkedVocoder):
    """The release's vocoder."""

    def __init__(self, network: nn.Module, chunk_frames: int = CHUNK_FRAMES) -> None:
        super().__init__(network, mel_frames_heard(network.config), chunk_frames)

    def forward(self, log_mel: Tensor) -> Tensor:
        """Vocode in one pass, (B, M, F) to (B, 240 F) on the CPU.

        Taken from the last layer: the network itself cuts peaks off at full scale, and returns no batch of one.
        """
        sound = []
        with self.network.conv_post.register_forward_hook(lambda *call: sound.append(call[-1])):
            self.network(log_mel)
        return sound[0].reshape(len(log_mel), -1).cpu()
