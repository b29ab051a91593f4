"""Bytes that a card sends to others where the sequences of a pass are split over cards, counted from the division.

A card sends three quarters of a self-attention's traffic before it, as queries, keys and values of the heads that other
cards have, and a quarter after it. ``tests/core/parallel`` compares these numbers with those of real processes.
"""

from dataclasses import dataclass

from torch import Tensor

from uniavgen_core.config import BranchConfig, Interaction, ModelConfig
from uniavgen_core.parallel.sequence_group import SequenceGroup, Span, even_spans, length, overlap
from uniavgen_core.parallel.sequence_shares import SequencePlan

from .flops import Pass


class LoneGroup(SequenceGroup):
    """One process of a group without the others: it receives memory without content."""

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size = rank, size

    def all_to_all(self, outgoing: Tensor, received: list[int], sent: list[int]) -> Tensor:
        """Make room for what would be received."""
        del sent
        return outgoing.new_empty(sum(received))


@dataclass(frozen=True)
class Traffic:
    """Traffic of one process in a pass over one clip with one audio track.

    Attributes:
        config: The model's.
        plan: Division of the clip.
        rank: Number of the process.
        per_latent: Tokens of a latent.
        itemsize: Bytes of a number.
    """

    config: ModelConfig
    plan: SequencePlan
    rank: int
    per_latent: int
    itemsize: int = 2

    def layer(self) -> int:
        """Bytes sent by the self-attention of both branches in one layer."""
        video = tuple(latents * self.per_latent for latents in self.plan.video.lengths())
        branches = ((self.config.video, video), (self.config.audio, self.plan.audio.lengths()))
        return self.itemsize * sum(self._self_attention(*branch) for branch in branches)

    def _self_attention(self, branch: BranchConfig, tokens: tuple[int, ...]) -> int:
        """Numbers sent by one self-attention."""
        width = length(even_spans(branch.num_heads, len(tokens))[self.rank]) * branch.head_dim
        own = tokens[self.rank]
        return 3 * own * (branch.dim - width) + (sum(tokens) - own) * width

    def interaction(self, directions: Interaction) -> int:
        """Bytes sent for one interaction: mel frames for audio to video, latents and face masks for the reverse."""
        numbers = 0
        if directions.audio_to_video:
            numbers += self._asked(self.plan.audio.clip, self.plan.frames_needed) * self.config.audio.dim
        if directions.video_to_audio:
            latents = self._asked(self.plan.video.clip, self.plan.latents_needed)
            numbers += latents * self.per_latent * (self.config.video.dim + 1)
        return self.itemsize * numbers

    def _asked(self, owned: tuple[Span, ...], needed: tuple[Span, ...]) -> int:
        """Steps of this process that others need, once for each that does."""
        own = owned[self.rank]
        return sum(length(overlap(own, span)) for other, span in enumerate(needed) if other != self.rank)

    def output(self, interactions: int) -> int:
        """Bytes sent to put velocities together, and the face masks of the interactions that ran."""
        patch = self.config.latent_channels * self.config.patch_size**2
        video = length(self.plan.video.clip[self.rank]) * self.per_latent * (patch + interactions)
        audio = length(self.plan.audio.clip[self.rank]) * self.config.mel_bins
        return self.itemsize * (len(self.plan.audio.clip) - 1) * (video + audio)

    def whole_pass(self, one: Pass) -> int:
        """Bytes sent in a pass."""
        layers = [layer for layer in range(self.config.num_layers) if layer != one.skip_layer]
        interactions = sum(self.config.interaction_of(layer) is not None for layer in layers)
        each = self.interaction(one.interaction)
        return len(layers) * self.layer() + interactions * each + self.output(interactions)
