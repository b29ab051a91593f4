"""Cross-modal attention: how the audio branch steers the video branch, and the reverse.

Each latent and each mel frame is projected once. Windows of sound are gathered from projected keys and values; mixes of
two latents are interpolated from projections, and sound tokens that see the same mix share its keys.
Source: UniAVGen (arXiv:2511.03334), section 3.2, asymmetric cross-modal interaction; quirks as in the release.
Dimension key: B batch, K audio tracks per clip, T video latents, N tokens per latent, S audio tokens, W window slots,
G context groups, Q query slots per group, D attention width. Track k of clip b is row b * K + k of the audio.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import torch
from einops import rearrange
from torch import Tensor

from ..config import Alignment, ModelConfig
from ..layers.attention import AttentionLayers
from ..layers.backend import Backend
from ..layers.rope import rotate, rotation_3d, rotation_time_only
from .alignment import ContextGroup, audio_windows, context_groups
from .face_mask import FaceMaskHead, WholePicture


@dataclass(frozen=True)
class ContextBatch:
    """Context groups of one kind, as index tensors.

    Attributes:
        low: First latent of each group, (G,).
        high: Second latent of each group, (G,); None where groups see one latent.
        low_weight: Weight of the first latent, (G, 1, 1).
        high_weight: Weight of the second latent, (G, 1, 1).
        queries: Audio token in each query slot, (G, Q); short groups repeat a token.
    """

    low: Tensor
    high: Tensor | None
    low_weight: Tensor
    high_weight: Tensor
    queries: Tensor

    def mix(self, projected: Tensor) -> Tensor:
        """Mix projected latents (B, T, N, D) into the groups' contexts, (B, G, N, D)."""
        mixed = projected[:, self.low] * self.low_weight
        return mixed if self.high is None else mixed + projected[:, self.high] * self.high_weight


@dataclass(frozen=True)
class Geometry:
    """Index and rotation tables of one clip, shared by every layer.

    Attributes:
        num_latents: Video latents T.
        windows: Audio token in each window slot, (T, W).
        a2v_query_rotation: (T * N, pairs, 2).
        a2v_key_rotation: (W, pairs, 2).
        contexts: Context groups for video-to-audio; empty where every audio token sees everything.
        context_order: Place of each audio token among the groups' concatenated query slots, (S,).
        v2a_query_rotation: (S, pairs, 2), or None for no rotation.
        v2a_key_rotation: (N, pairs, 2), or (T * N, pairs, 2) where every audio token sees everything.
    """

    num_latents: int
    windows: Tensor
    a2v_query_rotation: Tensor
    a2v_key_rotation: Tensor
    contexts: tuple[ContextBatch, ...]
    context_order: Tensor | None
    v2a_query_rotation: Tensor | None
    v2a_key_rotation: Tensor


def build_geometry(config: ModelConfig, grid: tuple[int, int, int], num_tokens: int, like: Tensor) -> Geometry:
    """Make the tables of one clip.

    Args:
        config: The model's.
        grid: Video latents and the rows and columns of a latent's tokens.
        num_tokens: Audio tokens S.
        like: Tensor whose device and dtype the tables take.
    """
    num_latents, rows, columns = grid
    device, video_head, audio_head = like.device, config.video.head_dim, config.audio.head_dim
    windows = audio_windows(num_tokens, num_latents, config.variant)
    if config.variant.v2a_alignment is Alignment.GLOBAL:
        contexts, order = (), None
        seconds = torch.arange(num_tokens, device=device) * (num_latents / num_tokens)
        query_rotation = rotation_time_only(seconds, audio_head)
        key_times = torch.arange(num_latents, device=device)
    else:
        contexts, order = _batch_contexts(context_groups(num_tokens, num_latents, config.variant), like)
        query_rotation, key_times = None, torch.zeros(1, device=device)
    return Geometry(
        num_latents=num_latents,
        windows=torch.tensor(windows.index, device=device),
        a2v_query_rotation=rotation_3d(torch.tensor(windows.query_times, device=device), rows, columns, video_head),
        a2v_key_rotation=rotation_time_only(torch.tensor(windows.key_times, device=device), video_head),
        contexts=contexts,
        context_order=order,
        v2a_query_rotation=query_rotation,
        v2a_key_rotation=rotation_3d(key_times, rows, columns, audio_head),
    )


def _batch_contexts(groups: tuple[ContextGroup, ...], like: Tensor) -> tuple[tuple[ContextBatch, ...], Tensor]:
    """Put groups that see one latent in one batch and groups that see two in another: their sizes differ a lot."""
    batches, slots, offset = [], {}, 0
    for size in (1, 2):
        chosen = [group for group in groups if len(group.latents) == size]
        if not chosen:
            continue
        longest = max(len(group.tokens) for group in chosen)
        queries = [group.tokens + group.tokens[:1] * (longest - len(group.tokens)) for group in chosen]
        for row, group in enumerate(chosen):
            slots |= {token: offset + row * longest + column for column, token in enumerate(group.tokens)}
        offset += len(chosen) * longest
        weights = torch.tensor(
            [[w for _, w in group.latents] for group in chosen], dtype=like.dtype, device=like.device
        )
        latents = torch.tensor([[i for i, _ in group.latents] for group in chosen], device=like.device)
        batches.append(
            ContextBatch(
                low=latents[:, 0],
                high=latents[:, 1] if size == 2 else None,
                low_weight=weights[:, :1, None],
                high_weight=weights[:, -1:, None],
                queries=torch.tensor(queries, device=like.device),
            )
        )
    return tuple(batches), torch.tensor([slots[token] for token in sorted(slots)], device=like.device)


class CrossModalAttention(AttentionLayers):
    """What both directions have: the attention's layers, and what their output projection is fed."""

    def __init__(self, dim: int, source_dim: int, heads: int, residual_in_output: bool, backend: Backend) -> None:
        super().__init__(dim, source_dim, heads, backend)
        self.residual_in_output = residual_in_output


class AudioToVideoAttention(CrossModalAttention):
    """Lets the video tokens of each latent listen to the sound around it, where there is a face."""

    def __init__(self, config: ModelConfig, backend: Backend) -> None:
        variant, video = config.variant, config.video
        super().__init__(video.dim, config.audio.dim, video.num_heads, variant.residual_in_output, backend)
        self.mask_after_output = variant.mask_after_output
        timed = variant.timed_mask_head
        self.mask_head = FaceMaskHead(video.dim, timed, backend) if variant.face_modulation else WholePicture()

    def forward(
        self, video: Tensor, audio: Tensor, face_mask: Tensor, geometry: Geometry, options: Any = None
    ) -> Tensor:
        """Compute what the video branch adds to itself.

        Args:
            video: Video tokens without the reference, (B, T * N, video_dim).
            audio: Audio tokens without the reference, (B * K, S, audio_dim).
            face_mask: Face weight of each video token for each track, (B, T * N, K).
            geometry: Tables of the clip.
            options: Data of the host, handed to its attention function.

        Returns:
            Update of the video tokens, (B, T * N, video_dim); what tracks say adds up, each within its own mask.
        """
        frames, tracks = geometry.num_latents, face_mask.shape[-1]
        q = rotate(self.norm_q(self.q(video)), geometry.a2v_query_rotation, self.heads)
        q = rearrange(q.repeat_interleave(tracks, dim=0), "b (t n) d -> (b t) n d", t=frames)
        k, v = (x[:, geometry.windows].flatten(0, 1) for x in (self.norm_k(self.k(audio)), self.v(audio)))
        k = rotate(k, geometry.a2v_key_rotation, self.heads)
        heard = self.attention(q, k, v, self.heads, options=options)
        heard = rearrange(heard, "(b k t) n d -> k b (t n) d", k=tracks, t=frames)
        weights = rearrange(face_mask, "b n k -> k b n 1")
        if self.residual_in_output:
            heard = video + heard
        pairs = zip(heard, weights, strict=True)
        if self.mask_after_output:
            return _sum(self.o(track) * weight for track, weight in pairs)
        return self.o(_sum(track * weight for track, weight in pairs))


class VideoToAudioAttention(CrossModalAttention):
    """Lets each audio token look at the faces of the one or two latents it sounds in."""

    def __init__(self, config: ModelConfig, backend: Backend) -> None:
        audio = config.audio
        super().__init__(audio.dim, config.video.dim, audio.num_heads, config.variant.residual_in_output, backend)

    def forward(
        self, audio: Tensor, video: Tensor, face_mask: Tensor, geometry: Geometry, options: Any = None
    ) -> Tensor:
        """Compute what the audio branch adds to itself.

        Args:
            audio: Audio tokens without the reference, (B * K, S, audio_dim).
            video: Video tokens without the reference, (B, T * N, video_dim).
            face_mask: Face weight of each video token for each track, (B, T * N, K).
            geometry: Tables of the clip.
            options: Data of the host, handed to its attention function.

        Returns:
            Update of the audio tokens, (B * K, S, audio_dim); every track sees its own faces.
        """
        q = self.norm_q(self.q(audio))
        if geometry.v2a_query_rotation is not None:
            q = rotate(q, geometry.v2a_query_rotation, self.heads)
        faces = torch.stack([video * weight[..., None] for weight in face_mask.unbind(-1)], dim=1).flatten(0, 1)
        see = self._see_own if geometry.contexts else self._see_all
        seen = see(q, faces, geometry, options)
        return self.o(audio + seen if self.residual_in_output else seen)

    def _see_all(self, q: Tensor, faces: Tensor, geometry: Geometry, options: Any) -> Tensor:
        k = rotate(self.norm_k(self.k(faces)), geometry.v2a_key_rotation, self.heads)
        return self.attention(q, k, self.v(faces), self.heads, options=options)

    def _see_own(self, q: Tensor, faces: Tensor, geometry: Geometry, options: Any) -> Tensor:
        keys, values = (rearrange(f(faces), "b (t n) d -> b t n d", t=geometry.num_latents) for f in (self.k, self.v))
        nothing = torch.zeros_like(faces[:, :1])
        k_bias, v_bias = self.k(nothing)[:, None], self.v(nothing)[:, None]
        seen = []
        for group in geometry.contexts:
            # A mix of latents is projected as the mix of their projections; the bias must count once, not by weight.
            spare = 1 - group.low_weight - (0 if group.high is None else group.high_weight)
            k = self.norm_k(group.mix(keys) + spare * k_bias).flatten(0, 1)
            v = (group.mix(values) + spare * v_bias).flatten(0, 1)
            k = rotate(k, geometry.v2a_key_rotation, self.heads)
            out = self.attention(q[:, group.queries].flatten(0, 1), k, v, self.heads, options=options)
            seen.append(rearrange(out, "(b g) q d -> b (g q) d", b=q.shape[0]))
        return torch.cat(seen, dim=1)[:, geometry.context_order]


def _sum(tracks: Iterable[Tensor]) -> Tensor:
    """Add tensors up; a single one is passed on as it is."""
    return reduce(add, tracks)
