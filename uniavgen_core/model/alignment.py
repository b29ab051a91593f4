"""Audio tokens that each video latent attends to, and video latents that each audio token attends to.

Everything here is index arithmetic on plain numbers, done once per clip length and shared by every layer.
Source: UniAVGen (arXiv:2511.03334), section 3.2, with the release's window rule; baselines from its ablation.
Dimension key: T video latents, f = 4 (T - 1) + 1 video frames, S audio tokens, L window slots, r = S / f.
"""

from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, floor

import torch

from ..config import Alignment, Variant
from ..shapes import TEMPORAL_FACTOR, video_frames_of

Span = tuple[int, int]
Tokens = tuple[int, ...]
Mix = tuple[tuple[int, float], ...]
"""Latents with their weights: one, or two where audio tokens lie between latents."""
Group = tuple[Mix, Tokens]


@dataclass(frozen=True)
class AudioWindows:
    """The audio tokens that each video latent attends to.

    Attributes:
        index: Audio token in each window slot, T rows of L.
        query_times: Rotary time position of each latent's queries, T numbers.
        key_times: Rotary time position of each window slot, L numbers.
    """

    index: tuple[tuple[int, ...], ...]
    query_times: tuple[float, ...]
    key_times: tuple[float, ...]


def audio_windows(num_tokens: int, num_latents: int, variant: Variant) -> AudioWindows:
    """Audio tokens that each of ``num_latents`` latents attends to, in a clip with ``num_tokens`` audio tokens."""
    if variant.a2v_alignment is Alignment.GLOBAL:
        everything = tuple(range(num_tokens))
        centres = tuple((a + b) / 2 for a, b in _own_spans(num_tokens, num_latents, 0))
        return AudioWindows((everything,) * num_latents, centres, tuple(map(float, everything)))
    half = variant.half_window_frames if variant.a2v_alignment is Alignment.ASYMMETRIC else 0
    spans = _widen(_own_spans(num_tokens, num_latents, half), num_tokens)
    index = tuple(tuple(min(max(j, 0), num_tokens - 1) for j in range(a, b)) for a, b in spans)
    return AudioWindows(index, (0.0,) * num_latents, tuple(map(float, range(len(index[0])))))


def _own_spans(num_tokens: int, num_latents: int, half: int) -> list[Span]:
    """Half-open token span of every latent, ``half`` video frames longer on each side; may reach beyond the clip."""
    ratio = num_tokens / video_frames_of(num_latents)
    before, after = floor(half * ratio), ceil(half * ratio)
    spans = [(-before, 1 + after if half else ceil(ratio))]
    for latent in range(1, num_latents):
        first = TEMPORAL_FACTOR * (latent - 1) + 1
        spans.append((floor(first * ratio) - before, ceil((first + TEMPORAL_FACTOR) * ratio) + after))
    return spans


def _widen(spans: list[Span], num_tokens: int) -> list[Span]:
    """Grow every span to the longest of latents after the first, away from the clip's ends where it touches one."""
    length = max(b - a for a, b in spans[1:] or spans)
    widened = []
    for a, b in spans:
        missing = length - (b - a)
        left = missing if a < 0 else 0 if b >= num_tokens else missing // 2
        widened.append((a - left, a - left + length))
    return widened


def latent_weights(num_tokens: int, num_latents: int, variant: Variant) -> list[dict[int, float]]:
    """Weight of every latent that each audio token attends to: S dicts of latent to weight."""
    frames = video_frames_of(num_latents)
    positions = frame_positions(num_tokens, frames, variant)
    if variant.v2a_alignment is Alignment.TEMPORAL:
        return [{_latent_of(frame): 1.0} for frame in positions.long().tolist()]
    if variant.ramp_over_latent:
        positions = torch.arange(num_tokens, device="cpu") / (num_tokens / num_latents)
        rows = zip(*interpolate(positions, num_latents), strict=True)
    else:
        low, high, low_weight, high_weight = interpolate(positions, frames)
        rows = zip(map(_latent_of, low), map(_latent_of, high), low_weight, high_weight, strict=True)
    return [_merge(*row, variant.doubled_tail) for row in rows]


def frame_positions(num_tokens: int, frames: int, variant: Variant) -> torch.Tensor:
    """Position of each audio token in video frames, in the precision that the variant asks for, (S,)."""
    dtype = torch.bfloat16 if variant.bfloat16_positions else torch.float32
    return torch.arange(num_tokens, dtype=dtype, device="cpu") / (num_tokens / frames)


def interpolate(positions: torch.Tensor, count: int) -> tuple[list[int], list[int], list[float], list[float]]:
    """Neighbours of every position among 0..count - 1 and their weights.

    Args:
        positions: Real positions, (S,); weights are computed in their dtype.
        count: Number of neighbours.

    Returns:
        Lower neighbours, upper neighbours, and the weights of both. From position ``count - 1`` on both neighbours are
        the last one and the weights add up to two, as in the release.
    """
    low = positions.floor().clamp(0, count - 1)
    high = (low + 1).clamp(0, count - 1)
    low_weight, high_weight = 1 - (positions - low), 1 - (high - positions)
    return low.int().tolist(), high.int().tolist(), low_weight.tolist(), high_weight.tolist()


def _latent_of(frame: int) -> int:
    return (frame + TEMPORAL_FACTOR - 1) // TEMPORAL_FACTOR


def _merge(low: int, high: int, low_weight: float, high_weight: float, doubled_tail: bool) -> dict[int, float]:
    """Weights by latent: those of the same latent are added up, zeros are left out."""
    weights = {low: low_weight}
    weights[high] = weights.get(high, 0.0) + high_weight
    if not doubled_tail:
        total = sum(weights.values())
        weights = {latent: weight / total for latent, weight in weights.items()}
    return {latent: weight for latent, weight in weights.items() if weight}


@lru_cache(maxsize=64)
def context_groups(num_tokens: int, num_latents: int, variant: Variant) -> tuple[Group, ...]:
    """Every mix of latents that audio tokens attend to, with these tokens, which share its keys and values."""
    groups: defaultdict[Mix, list[int]] = defaultdict(list)
    for token, weights in enumerate(latent_weights(num_tokens, num_latents, variant)):
        groups[tuple(sorted(weights.items()))].append(token)
    return tuple((mix, tuple(tokens)) for mix, tokens in groups.items())
