"""Cross-modal attention: how the audio branch steers the video branch, and the reverse.

Each latent and each mel frame is projected once. Audio windows are gathered from projected keys and values; audio
tokens that attend to one latent share its keys, and those between two latents attend to both (``mixed_attention``).
Source: UniAVGen (arXiv:2511.03334), section 3.2, asymmetric cross-modal interaction; quirks as in the release.
Dimension key: B batch, K audio tracks per clip, T video latents, N tokens per latent, S audio tokens, W window slots,
G latents with audio tokens of their own, P pairs of latents, Q query slots, D attention width. Track k of clip b is row
b * K + k of the audio.
"""

from functools import reduce
from operator import add
from typing import Any

import torch
from einops import rearrange
from torch import Tensor

from ..config import ModelConfig
from ..layers.attention import AttentionLayers
from ..layers.backend import Backend
from .alignment_tables import Geometry
from .face_mask import FaceMaskHead, WholePicture
from .mixed_attention import LatentKeys, attend_pairs


class AudioToVideoAttention(AttentionLayers):
    """Lets the video tokens of each latent attend to the audio around it, where there is a face."""

    def __init__(self, config: ModelConfig, backend: Backend) -> None:
        variant, video = config.variant, config.video
        super().__init__(video.dim, config.audio.dim, video.num_heads, backend)
        self.residual_in_output, self.mask_after_output = variant.residual_in_output, variant.mask_after_output
        timed = variant.timed_mask_head
        self.mask_head = FaceMaskHead(video.dim, timed, backend) if variant.face_modulation else WholePicture()

    def forward(
        self, video: Tensor, audio: Tensor, face_mask: Tensor, geometry: Geometry, options: Any = None
    ) -> Tensor:
        """Compute the update of the video tokens.

        Args:
            video: Video tokens without the reference, (B, T * N, video_dim).
            audio: Audio tokens without the reference, (B * K, S, audio_dim).
            face_mask: Face weight of each video token for each track, (B, T * N, K).
            geometry: Tables of the clip.
            options: Options of the host, passed to its attention function.

        Returns:
            Update, (B, T * N, video_dim): the sum over tracks, each within its own mask.
        """
        latents, tracks = geometry.num_latents, face_mask.shape[-1]
        query = self.q(video)
        query = self.norm_rope(query, self.norm_q, geometry.a2v_query_rope, self.heads, out=query)
        if tracks > 1:
            query = query.repeat_interleave(tracks, dim=0)
        query = rearrange(query, "b (t n) d -> (b t) n d", t=latents)  # (B * K * T, N, D)
        key, value = (x(audio)[:, geometry.windows].flatten(0, 1) for x in (self.k, self.v))  # (B * K * T, W, D)
        key = self.norm_rope(key, self.norm_k, geometry.a2v_key_rope, self.heads)
        attended = self.attention(query, key, value, self.heads, options=options)
        del query  # as large as the result
        attended = rearrange(attended, "(b k t) n d -> k b (t n) d", k=tracks, t=latents)
        if self.residual_in_output:
            attended = video + attended
        weighted = zip(attended, rearrange(face_mask, "b n k -> k b n 1"), strict=True)
        if self.mask_after_output:
            return reduce(add, (self.o(track) * weight for track, weight in weighted))
        return self.o(reduce(add, (track * weight for track, weight in weighted)))


class VideoToAudioAttention(AttentionLayers):
    """Lets each audio token attend to the faces of the one or two latents that it sounds in."""

    def __init__(self, config: ModelConfig, backend: Backend) -> None:
        super().__init__(config.audio.dim, config.video.dim, config.audio.num_heads, backend)
        self.residual_in_output = config.variant.residual_in_output

    def forward(
        self, audio: Tensor, video: Tensor, face_mask: Tensor, geometry: Geometry, options: Any = None
    ) -> Tensor:
        """Compute the update of the audio tokens.

        Args:
            audio: Audio tokens without the reference, (B * K, S, audio_dim).
            video: Video tokens without the reference, (B, T * N, video_dim).
            face_mask: Face weight of each video token for each track, (B, T * N, K).
            geometry: Tables of the clip.
            options: Options of the host, passed to its attention function.

        Returns:
            Update, (B * K, S, audio_dim); every track attends to its own faces.
        """
        query = self.norm_rope(self.q(audio), self.norm_q, geometry.v2a_query_rope, self.heads)
        attended = self.attend_video(query, video, face_mask, geometry, options)
        return self.o(audio + attended if self.residual_in_output else attended)

    def attend_video(self, query: Tensor, video: Tensor, face_mask: Tensor, geometry: Geometry, options: Any) -> Tensor:
        """Attend from every query, (B * K, S, D), to its own latents; the shape stays."""
        # The weighted video is as long as the clip, so it lives only inside this call.
        latents, bias = self._project_latents(weigh_video(video, face_mask), geometry)
        attended = []
        if (singles := geometry.singles) is not None:
            key, value = (x[:, singles.latents].flatten(0, 1) for x in (latents.rotated, latents.values))
            by_latent = query[:, singles.queries].flatten(0, 1)  # (B * K * G, Q, D)
            out = self.attention(by_latent, key, value, self.heads, options=options)
            attended.append(rearrange(out, "(b g) q d -> b (g q) d", b=query.shape[0]))
            del key, value  # as large as all latents
        if (pairs := geometry.pairs) is not None:
            out = attend_pairs(query[:, pairs.queries], latents, bias, pairs, self.heads)  # (B * K, P, Q, D)
            attended.append(out.flatten(1, 2))
        return torch.cat(attended, dim=1)[:, geometry.slot_of_token]

    def _project_latents(self, video: Tensor, geometry: Geometry) -> tuple[LatentKeys, LatentKeys]:
        """Keys and values of the latents, (B * K, T, N, D), and of a latent of zeros, (1, N, D): the layers' biases."""
        rows = rearrange(video, "b (t n) d -> (b t) n d", t=geometry.num_latents)
        latents, bias = (self._keys_of(x, geometry.v2a_key_rope) for x in (rows, torch.zeros_like(rows[:1, :1])))
        return latents.unflatten(geometry.num_latents), bias

    def _keys_of(self, video: Tensor, rope: Tensor) -> LatentKeys:
        """Keys and values of latents (B, N, D), or of one token (B, 1, D) that stands at every place."""
        keys, values = (x.expand(-1, rope.shape[1], -1) for x in (self.k(video), self.v(video)))
        return LatentKeys(keys, self.norm_rope(keys, self.norm_k, rope, self.heads), values)


def weigh_video(video: Tensor, face_mask: Tensor) -> Tensor:
    """Video tokens (B, T * N, D) weighted by each track's face mask (B, T * N, K), (B * K, T * N, D)."""
    return (video[:, None] * rearrange(face_mask, "b n k -> b k n 1")).flatten(0, 1)
