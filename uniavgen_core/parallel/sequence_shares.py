"""The latents and mel frames that each process has, and those that it needs of others; arithmetic on plain numbers.

Processes divide the latents, the reference image's among them, into spans of whole ones. A mel frame goes with the
first latent that it attends to, so that the interaction needs of other processes only what lies next to a span; the
reference voice is divided evenly.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import torch
from torch import Tensor

from ..config import Alignment, ModelConfig
from ..model.alignment import Group, audio_windows, context_groups, latent_weights
from .sequence_group import Span, even_spans, length, overlap


@dataclass(frozen=True)
class Shares:
    """Spans of one branch's sequence, by process.

    Attributes:
        reference: Steps of the reference.
        clip: Steps of the clip itself, counted from its own first one.
    """

    reference: tuple[Span, ...]
    clip: tuple[Span, ...]

    def lengths(self) -> tuple[int, ...]:
        """Steps of each process."""
        return tuple(length(a) + length(b) for a, b in zip(self.reference, self.clip, strict=True))

    def take(self, x: Tensor, rank: int) -> Tensor:
        """Copy one process's part of a sequence (B, steps * any, ...) that begins with the reference."""
        num_reference, num_steps = self.reference[-1][1], self.reference[-1][1] + self.clip[-1][1]
        per_step = x.shape[1] // num_steps
        (first, last), (start, stop) = self.reference[rank], self.clip[rank]
        spans = (first, last), (num_reference + start, num_reference + stop)
        return torch.cat([x[:, a * per_step : b * per_step] for a, b in spans], dim=1)


@dataclass(frozen=True)
class SequencePlan:
    """Division of one clip.

    Attributes:
        video: Latents of each process.
        audio: Mel frames of each process.
        frames_needed: Mel frames that each process's latents attend to, or that lie between those.
        latents_needed: Latents that each process's mel frames attend to, or that lie between those.
        groups: Each process's mel frames by the mixes of latents that they attend to, both counted from the first one
            that the process has or needs; empty where all attend to all latents.
    """

    video: Shares
    audio: Shares
    frames_needed: tuple[Span, ...]
    latents_needed: tuple[Span, ...]
    groups: tuple[tuple[Group, ...], ...]


@lru_cache(maxsize=16)
def plan_sequences(
    config: ModelConfig, latents: int, frames: int, references: tuple[int, int], processes: int
) -> SequencePlan:
    """Divide a clip.

    Args:
        config: The model's.
        latents: Latents of the clip.
        frames: Its mel frames.
        references: Latents of the reference image, 0 or 1, and mel frames of the reference voice.
        processes: Number of processes.

    Raises:
        ValueError: If a process would have no latent or no mel frame.
    """
    num_images, num_voice = references
    spans = even_spans(num_images + latents, processes)
    images = tuple(overlap((0, num_images), span) for span in spans)
    video = tuple((max(0, start - num_images), max(0, stop - num_images)) for start, stop in spans)
    firsts = [min(weights) for weights in latent_weights(frames, latents, config.variant)]
    ends = [sum(first < stop for first in firsts) for _, stop in video]
    audio = tuple(pairwise((0, *ends)))
    if not all(map(length, (*video, *audio))):
        raise ValueError(
            f"A clip of {latents} latents and {frames} mel frames cannot be divided among {processes} processes, "
            "because each needs a latent of its own. Take fewer processes."
        )
    rows = audio_windows(frames, latents, config.variant).index
    windows = tuple(_hull([frame for row in rows[start:stop] for frame in row]) for start, stop in video)
    if config.variant.v2a_alignment is Alignment.GLOBAL:
        needed, groups = ((0, latents),) * processes, ((),) * processes
    else:
        own = [_groups_of(context_groups(frames, latents, config.variant), span) for span in audio]
        needed = tuple(_hull([latent for mix, _ in part for latent, _ in mix]) for part in own)
        groups = tuple(_counted_from(*each) for each in zip(own, needed, audio, strict=True))
    return SequencePlan(Shares(images, video), Shares(even_spans(num_voice, processes), audio), windows, needed, groups)


def _hull(steps: list[int]) -> Span:
    """Smallest span that has all of some steps."""
    return min(steps), max(steps) + 1


def _groups_of(groups: tuple[Group, ...], frames: Span) -> list[Group]:
    """Groups of some mel frames; all frames of one mix begin in the same latent, so no group is divided."""
    return [(mix, tokens) for mix, tokens in groups if frames[0] <= tokens[0] < frames[1]]


def _counted_from(groups: list[Group], latents: Span, frames: Span) -> tuple[Group, ...]:
    """The same groups, with latents and mel frames counted from the first ones of these spans."""
    return tuple(
        (
            tuple((latent - latents[0], weight) for latent, weight in mix),
            tuple(token - frames[0] for token in tokens),
        )
        for mix, tokens in groups
    )
