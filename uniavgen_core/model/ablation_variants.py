"""Parts of the network in the paper's ablation baselines, chosen instead of the released ones when a network is built.

Source: UniAVGen (arXiv:2511.03334), its ablation of where and how the branches exchange.
Dimension key: B batch, T video latents, N tokens per latent, S audio tokens, D width.
"""

from functools import partial
from typing import Any

from torch import Tensor

from ..config import Alignment, Position
from .alignment_tables import Geometry
from .branch import Block, Stream
from .cross_modal import VideoToAudioAttention, weigh_video


class DividedBlock(Block):
    """A block that can stop after some of its three parts and go on later."""

    def forward(self, stream: Stream, options: Any = None, parts: slice = slice(None)) -> Tensor:
        """Compute the residual stream after some of the parts, all by default, (B, T * N, D)."""
        all_parts = (
            partial(self.self_attention, options=options),
            partial(self.cross_attention, options=options),
            self.feed_forward,
        )
        for part in all_parts[parts]:
            stream = stream.with_tokens(part(stream))
        return stream.tokens


class GlobalVideoToAudioAttention(VideoToAudioAttention):
    """Lets each audio token attend to the faces of all latents."""

    def attend_video(self, query: Tensor, video: Tensor, face_mask: Tensor, geometry: Geometry, options: Any) -> Tensor:
        """Attend from every query, (B, S, D), to the tokens of all latents."""
        video = weigh_video(video, face_mask)
        key = self.k(video)
        key = self.norm_rope(key, self.norm_k, geometry.v2a_key_rope, self.heads, out=key)
        return self.attention(query, key, self.v(video), self.heads, options=options)


PARTS_BEFORE_EXCHANGE = {Position.BEFORE_CROSS_ATTENTION: 1, Position.BEFORE_FFN: 2}
"""Parts of ``DividedBlock``s that run before the exchange, by its position where it is not the model's own."""
VIDEO_TO_AUDIO = {Alignment.GLOBAL: GlobalVideoToAudioAttention}
"""Attention of audio tokens, by the alignment where it is not the model's own."""
