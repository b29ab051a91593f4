"""Parts of the network in the paper's ablation baselines, chosen instead of the released ones when a network is built.

Source: UniAVGen (arXiv:2511.03334), its ablation of where and how the branches exchange.
Dimension key: B batch, T video latents, N tokens per latent, S audio tokens, D width.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor, nn

from ..config import Alignment, Position
from .alignment_tables import Geometry
from .branch import Block, Stream
from .cross_modal import VideoToAudioAttention, weigh_video
from .joint_state import JointState


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


@dataclass(frozen=True)
class ExchangeWithinBlocks:
    """Runs a layer whose branches exchange between two parts of its blocks, in place of ``blocks_then_exchange``.

    Attributes:
        parts_before: Parts of the blocks that run before the exchange.
    """

    parts_before: int

    def __call__(
        self,
        blocks: tuple[nn.Module, nn.Module],
        state: JointState,
        exchange: Callable[[JointState], JointState],
        options: Any,
    ) -> JointState:
        """Run a layer of ``DividedBlock``s."""
        video, audio = blocks
        before, after = slice(0, self.parts_before), slice(self.parts_before, None)
        state = state.with_tokens(video(state.video, options, before), audio(state.audio, options, before))
        state = exchange(state)
        return state.with_tokens(video(state.video, options, after), audio(state.audio, options, after))


class GlobalVideoToAudioAttention(VideoToAudioAttention):
    """Lets each audio token attend to the faces of all latents."""

    def attend_video(self, query: Tensor, video: Tensor, face_mask: Tensor, geometry: Geometry, options: Any) -> Tensor:
        """Attend from every query, (B, S, D), to the tokens of all latents."""
        video = weigh_video(video, face_mask)
        key = self.k(video)
        key = self.norm_rope(key, self.norm_k, geometry.v2a_key_rope, self.heads, out=key)
        return self.attention(query, key, self.v(video), self.heads, options=options)


WITHIN_BLOCKS = {
    Position.BEFORE_CROSS_ATTENTION: (DividedBlock, ExchangeWithinBlocks(parts_before=1)),
    Position.BEFORE_FFN: (DividedBlock, ExchangeWithinBlocks(parts_before=2)),
}
"""Block and order of a layer, by the position of the exchange where it is not the model's own."""
VIDEO_TO_AUDIO = {Alignment.GLOBAL: GlobalVideoToAudioAttention}
"""Attention of audio tokens, by the alignment where it is not the model's own."""
