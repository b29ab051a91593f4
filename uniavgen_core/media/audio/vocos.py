"""Vocos: a vocoder that predicts the spectrum of every mel frame and inverts it by overlap-add.

Source: Vocos (Siuzdak, arXiv:2306.00814), the vocoder that the UniAVGen paper names; the layers are those of ``vocos``.
Dimension key: B batch, M mel bins, F mel frames.
"""

from typing import Any

from torch import Tensor, nn

from ...shapes import HOP_LENGTH
from .vocoder_chunks import ChunkedVocoder


def receptive_radius(network: Any) -> int:
    """Radius of the receptive field in mel frames: 29 for the published size.

    All convolutions are in sequence, so their reaches add up; norms and linear layers stay within a frame. The window
    of the inverse transform then adds half its length from the middle of its frame.
    """
    convolutions = [layer for layer in network.backbone.modules() if isinstance(layer, nn.Conv1d)]
    reach = sum(layer.kernel_size[0] // 2 * layer.dilation[0] for layer in convolutions)
    return reach + (len(network.head.istft.window) + HOP_LENGTH) // (2 * HOP_LENGTH)


class Vocos(ChunkedVocoder):
    """A vocoder of the package ``vocos``, trained on UniAVGen's mel spectrogram."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__(network, receptive_radius(network))

    def forward(self, log_mel: Tensor) -> Tensor:
        """Vocode in one pass, (B, M, F) to (B, 240 F). The samples are not clamped."""
        return self.network(log_mel)
