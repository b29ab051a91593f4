"""Index and rotary tables of one clip, made once for a pass and shared by every interaction.

Dimension key: T video latents, N tokens per latent, S audio tokens, W window slots, G latents with audio tokens of
their own, P pairs of latents that audio tokens lie between, Q query slots.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from ..config import Alignment, ModelConfig
from ..layers.compiling import never_compiled
from ..layers.rope import rope_3d, rope_time_only
from .alignment import Group, Tokens, audio_windows, context_groups


@dataclass(frozen=True)
class SingleLatents:
    """Audio tokens that attend to one latent as it is.

    Attributes:
        latents: The latents, (G,), as a slice where they follow each other.
        queries: Audio token in each query slot, (G, Q); short rows repeat a token.
    """

    latents: Tensor | slice
    queries: Tensor


@dataclass(frozen=True)
class LatentPairs:
    """Audio tokens that attend to a mix: of two latents, or of one with a weight other than 1.

    Attributes:
        low: First latent of each pair, (P,).
        high: Second latent, (P,); the first again where there is one.
        low_weight: Weight of the first in each query slot, (P, Q).
        high_weight: Weight of the second, (P, Q).
        queries: Audio token in each query slot, (P, Q); short rows repeat a token.
    """

    low: Tensor
    high: Tensor
    low_weight: Tensor
    high_weight: Tensor
    queries: Tensor

    def some(self, chunk: slice) -> "LatentPairs":
        """Some of the pairs."""
        return LatentPairs(*(getattr(self, field.name)[chunk] for field in fields(self)))


@dataclass(frozen=True)
class Geometry:
    """Tables of one clip.

    Attributes:
        num_latents: Video latents T.
        windows: Audio token in each window slot, (T, W).
        a2v_query_rope: Rotary table, (1, T * N, 1, pairs, 2, 2).
        a2v_key_rope: (1, W, 1, pairs, 2, 2).
        singles: Audio tokens that attend to one latent; None for none.
        pairs: Audio tokens that attend to a mix; None for none.
        slot_of_token: Place of each audio token among all query slots, (S,); None where each attends to all latents.
        v2a_query_rope: (1, S, 1, pairs, 2, 2), or None for no rotation.
        v2a_key_rope: (1, N, 1, pairs, 2, 2); T * N where each audio token attends to all latents.
    """

    num_latents: int
    windows: Tensor
    a2v_query_rope: Tensor
    a2v_key_rope: Tensor
    singles: SingleLatents | None
    pairs: LatentPairs | None
    slot_of_token: Tensor | None
    v2a_query_rope: Tensor | None
    v2a_key_rope: Tensor


@never_compiled
def build_geometry(config: ModelConfig, grid: tuple[int, int, int], num_tokens: int, like: Tensor) -> Geometry:
    """Make the tables of one clip; never compiled, since it works on plain numbers.

    Args:
        config: The model's.
        grid: Video latents, and the rows and columns of a latent's tokens.
        num_tokens: Audio tokens S.
        like: Gives the tables their device, and weights their dtype if it is wider than float32.
    """
    num_latents, rows, columns = grid
    device, video_head, audio_head = like.device, config.video.head_dim, config.audio.head_dim
    windows = audio_windows(num_tokens, num_latents, config.variant)
    singles = pairs = slot_of_token = query_rope = None
    if config.variant.v2a_alignment is Alignment.GLOBAL:
        times = torch.arange(num_tokens, device=device) * (num_latents / num_tokens)
        query_rope = rope_time_only(times, audio_head)
        key_times = torch.arange(num_latents, device=device)
    else:
        singles, pairs, slot_of_token = query_tables(context_groups(num_tokens, num_latents, config.variant), like)
        key_times = torch.zeros(1, device=device)
    return Geometry(
        num_latents=num_latents,
        windows=torch.tensor(windows.index, device=device),
        a2v_query_rope=rope_3d(torch.tensor(windows.query_times, device=device), rows, columns, video_head),
        a2v_key_rope=rope_time_only(torch.tensor(windows.key_times, device=device), video_head),
        singles=singles,
        pairs=pairs,
        slot_of_token=slot_of_token,
        v2a_query_rope=query_rope,
        v2a_key_rope=rope_3d(key_times, rows, columns, audio_head),
    )


def query_tables(groups: Sequence[Group], like: Tensor) -> tuple[SingleLatents | None, LatentPairs | None, Tensor]:
    """Part the groups into single latents and pairs, whose audio tokens weigh them each in its own way.

    Args:
        groups: Mixes of latents, with the audio tokens that attend to them; every token has one.
        like: Gives the tables their device, and weights their dtype if it is wider than float32.

    Returns:
        ``singles``, ``pairs`` and ``slot_of_token`` of a ``Geometry``.
    """
    single: dict[int, Tokens] = {}
    paired: defaultdict[tuple[int, int], dict[int, tuple[float, float]]] = defaultdict(dict)
    for mix, tokens in groups:
        (low, low_weight), (high, high_weight) = mix[0], (*mix, (mix[0][0], 0.0))[1]
        if low == high and low_weight == 1:
            single[low] = tokens
        else:
            paired[low, high] |= dict.fromkeys(tokens, (low_weight, high_weight))
    single_slots, pair_slots = _slots(list(single.values())), _slots([tuple(pair) for pair in paired.values()])
    slots = {token: slot for slot, token in enumerate(token for row in single_slots + pair_slots for token in row)}
    slot_of_token = torch.tensor([slots[token] for token in sorted(slots)], device=like.device)
    singles = SingleLatents(_rows(list(single), like), _index(single_slots, like)) if single else None
    if not paired:
        return singles, None, slot_of_token
    weights = [[pair[token] for token in row] for pair, row in zip(paired.values(), pair_slots, strict=True)]
    dtype = torch.promote_types(like.dtype, torch.float32)
    low_weight, high_weight = torch.tensor(weights, dtype=dtype, device=like.device).unbind(-1)
    low, high = _index(list(paired), like).unbind(-1)
    return singles, LatentPairs(low, high, low_weight, high_weight, _index(pair_slots, like)), slot_of_token


def _slots(rows: list[Tokens]) -> list[Tokens]:
    """Rows filled to one length with their first token."""
    longest = max(map(len, rows), default=0)
    return [row + row[:1] * (longest - len(row)) for row in rows]


def _rows(values: list[int], like: Tensor) -> Tensor | slice:
    """Index of rows; a slice, which copies nothing, where they follow each other."""
    line = range(values[0], values[0] + len(values))
    return slice(line.start, line.stop) if values == list(line) else _index(values, like)


def _index(values: list, like: Tensor) -> Tensor:
    return torch.tensor(values, device=like.device)
