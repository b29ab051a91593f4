"""Log-mel to sound by a Vocos: layers at the mel's own rate say a spectrum frame by frame, which is then overlapped.

Source: Vocos (Siuzdak, arXiv:2306.00814), the vocoder that the UniAVGen paper names; the layers are the package's own.
Dimension key: B batch, M mel bins, F mel frames.
"""

from torch import Tensor, nn

from ...shapes import HOP_LENGTH
from .vocoder_chunks import CHUNK_FRAMES, ChunkedVocoder


def mel_frames_heard(network: nn.Module) -> int:
    """Mel frames to either side of its own that a sample can depend on, 29 for the published size.

    Every convolution comes after the others and adds its reach; norms and linear layers stay within a frame. A frame's
    window then covers samples of other frames, by half its length from the middle of the frame's own.
    """
    convolutions = [layer for layer in network.backbone.modules() if isinstance(layer, nn.Conv1d)]
    reach = sum(layer.kernel_size[0] // 2 * layer.dilation[0] for layer in convolutions)
    return reach + (len(network.head.istft.window) + HOP_LENGTH) // (2 * HOP_LENGTH)


class Vocos(ChunkedVocoder):
    """A vocoder of the package ``vocos``, for those who trained one on UniAVGen's mel."""

    def __init__(self, network: nn.Module, chunk_frames: int = CHUNK_FRAMES) -> None:
        super().__init__(network, mel_frames_heard(network), chunk_frames)

    def forward(self, log_mel: Tensor) -> Tensor:
        """Vocode in one pass, (B, M, F) to (B, 240 F); nothing in the network bounds its samples."""
        return self.network(log_mel)
