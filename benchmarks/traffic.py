"""Bytes that a card sends to others where the sequences of a pass are split over cards, counted from the division.

A card sends three quarters of a self-attention's traffic before it, as queries, keys and values of the heads that other
cards have, and a quarter after it. ``tests/core/parallel`` compares these numbers with those of real processes.
A step takes the time of the card with the most latents, and that in which a link carries what a card sends one way:
nothing is computed meanwhile, and an exchange has no latency.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from uniavgen_core.config import BranchConfig, Interaction, ModelConfig
from uniavgen_core.parallel.sequence_group import SequenceGroup, Span, even_spans, length, overlap
from uniavgen_core.parallel.sequence_shares import SequencePlan, plan_sequences
from uniavgen_core.shapes import SIZE_MULTIPLE, AVShape

from .flops import Pass, step_of, step_passes

CARDS = (1, 2, 4, 8)
GIGA, MEGA = 1e9, 1e6


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


def plan_of(config: ModelConfig, shape: AVShape, cards: int) -> SequencePlan:
    """Division of a clip with a reference image, without a reference voice."""
    return plan_sequences(config, shape.latent_frames, shape.mel_frames, (1, 0), cards)


def traffic_of(config: ModelConfig, shape: AVShape, cards: int) -> list[Traffic]:
    """Traffic of every card for the clip of ``plan_of``."""
    plan = plan_of(config, shape, cards)
    per_latent = (shape.width // SIZE_MULTIPLE) * (shape.height // SIZE_MULTIPLE)
    return [Traffic(config, plan, rank, per_latent) for rank in range(cards)]


def scaling(
    config: ModelConfig, shape: AVShape, seconds_on: Callable[[int], float], links: Mapping[str, float]
) -> list[dict[str, float]]:
    """Steps on several cards.

    Args:
        config: The model's.
        shape: Size of the clip.
        seconds_on: Seconds of a step on the busiest of some cards, without what it sends.
        links: Gigabytes that a card sends in a second, by the link's name.

    Returns:
        For each number of cards, the traffic of the card that sends most, the seconds that the busiest one computes,
        and for each link the seconds of a step and by what factor it is faster than on one card.
    """
    rows = []
    for cards in CARDS:
        traffic, seconds = traffic_of(config, shape, cards), seconds_on(cards)
        sent = max(step_of(*map(one.whole_pass, step_passes())) for one in traffic) / GIGA
        layer = max(one.layer() for one in traffic) / MEGA
        row = {"cards": cards, "layer_megabytes": layer, "step_gigabytes": sent, "compute_seconds": seconds}
        for link, speed in links.items():
            row[f"{link}_seconds"] = seconds + sent / speed
            row[f"{link}_speedup"] = (rows[0] if rows else row)[f"{link}_seconds"] / row[f"{link}_seconds"]
        rows.append(row)
    return [{name: round(value, 4) for name, value in row.items()} for row in rows]


def scaling_lines(rows: list[dict[str, float]]) -> list[str]:
    """Steps on several cards as lines of a table."""
    heads = ("cards", "MB a layer", "GB a step", "computing", *(name.replace("_", " ") for name in [*rows[0]][4:]))
    lines = ["".join(f"{head:>16}" for head in heads)]
    return lines + ["".join(f"{value:16g}" for value in row.values()) for row in rows]
