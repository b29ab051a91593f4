"""Chunked vocoding of long clips, so that memory does not grow with their length.

Dimension key: B batch, M mel bins, F mel frames, N samples.
"""

from collections.abc import Callable
from itertools import pairwise
from math import ceil

import torch
from torch import Tensor, nn

from ...shapes import HOP_LENGTH
from .mel import check_log_mel


def chunk_spans(num_frames: int, chunk_frames: int) -> list[tuple[int, int]]:
    """Divide a clip into the fewest spans of at most ``chunk_frames``, as equal in length as possible.

    Args:
        num_frames: Mel frames of the clip, at least 1.
        chunk_frames: Most frames of a span, at least 1.

    Returns:
        Start and stop frame of each span.
    """
    count = ceil(num_frames / chunk_frames)
    edges = [num_frames * number // count for number in range(count + 1)]
    return list(pairwise(edges))


def in_chunks(
    vocode: Callable[[Tensor], Tensor],
    log_mel: Tensor,
    chunk_frames: int,
    margin: int,
    after_chunk: Callable[[], object] = lambda: None,
) -> Tensor:
    """Vocode overlapping chunks of a mel spectrogram (B, M, F) to samples (B, 240 F), and discard the overlap.

    The result equals that of one pass if ``margin`` is at least the radius of the vocoder's receptive field.

    Args:
        vocode: Function from mel spectrograms (B, M, F) to waveforms (B, 240 F).
        log_mel: Mel spectrogram of the whole clip.
        chunk_frames: Most mel frames of a chunk without its margins, at least 1.
        margin: Additional mel frames on either side of a chunk; fewer at the ends of the clip.
        after_chunk: Called after each chunk.
    """
    num_frames = log_mel.shape[-1]
    pieces = []
    for start, end in chunk_spans(num_frames, chunk_frames):
        first, last = max(0, start - margin), min(num_frames, end + margin)
        samples = vocode(log_mel[..., first:last])
        pieces.append(samples[..., (start - first) * HOP_LENGTH : (end - first) * HOP_LENGTH])
        after_chunk()
    return torch.cat(pieces, dim=-1)


class ChunkedVocoder(nn.Module):
    """Base of the vocoders with learned weights. Subclasses define ``forward``: one pass, (B, M, F) to (B, 240 F).

    It wraps the network, because ComfyUI sets the device as an attribute of a model, which a model of ``transformers``
    forbids.

    Attributes:
        network: The network.
        margin: Radius of the network's receptive field, mel frames.
        chunk_frames: Most mel frames of a chunk.
    """

    chunk_frames = 512  # A five-second clip of the release, 506 frames, is one chunk.

    def __init__(self, network: nn.Module, margin: int) -> None:
        super().__init__()
        self.network, self.margin = network, margin

    def decode(self, log_mel: Tensor, after_chunk: Callable[[], object] = lambda: None) -> Tensor:
        """Vocode log-mel spectrograms, clip by clip and chunk by chunk.

        Args:
            log_mel: Natural log-mel, not normalised, (B, M, F) with F >= 1, on the weights' device.
            after_chunk: Called after each chunk.

        Returns:
            Samples at 24 kHz, (B, 240 F) float32, on the CPU, at the mel's own level: peaks may be above full
            scale. See ``loudness.under_ceiling``.

        Raises:
            ValueError: If the shape is not (B, 80, F >= 1), or a value is not finite.
        """
        check_log_mel(log_mel)
        mel = log_mel.detach().float()
        return torch.cat([in_chunks(self, clip[None], self.chunk_frames, self.margin, after_chunk) for clip in mel])
