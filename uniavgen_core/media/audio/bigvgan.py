"""The release's vocoder: BigVGAN of Qwen2.5-Omni, as implemented in ``transformers``.

Source: BigVGAN (Lee et al., arXiv:2206.04658); Qwen2.5-Omni (arXiv:2503.20215), where it is part of ``token2wav``.
Dimension key: B batch, M mel bins, F mel frames.
"""

from math import ceil
from typing import Any

from torch import Tensor

from .vocoder_chunks import ChunkedVocoder

_EDGE_REACH = 3  # The first and the last convolution have kernel size 7.
_ACTIVATION_REACH = 6  # An anti-aliased activation upsamples by 2 with 12 taps, and downsamples again with 12.


def receptive_radius(config: Any) -> int:
    """Radius of the receptive field in mel frames, by a configuration of ``transformers``: 38 for the released vocoder.

    Every layer adds its own reach divided by the rate it works at. The residual blocks of a stage run in parallel, so
    only the widest counts.
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

    def __init__(self, network: Any) -> None:
        super().__init__(network, receptive_radius(network.config))

    def forward(self, log_mel: Tensor) -> Tensor:
        """Vocode in one pass, (B, M, F) to (B, 240 F) on the CPU.

        The waveform is read from the last layer, because the network clips at full scale and drops a batch axis of one.
        """
        sound = []
        with self.network.get_submodule("conv_post").register_forward_hook(lambda *call: sound.append(call[-1])):
            self.network(log_mel)
        return sound[0].reshape(len(log_mel), -1).cpu()
