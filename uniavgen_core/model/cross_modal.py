"""Cross-modal attention: how the audio branch steers the video branch, and the reverse.

Each latent and each mel frame is projected once. Windows of sound are gathered from projected keys and values; sound
tokens that see one latent share its keys, and those between two latents attend to both (``mixture``).
Source: UniAVGen (arXiv:2511.03334), section 3.2, asymmetric cross-modal interaction; quirks as in the release.
Dimension key: B batch, K audio tracks per clip, T video latents, N tokens per latent, S audio tokens, D attention
width. Track k of clip b is row b * K + k of the audio.
"""

from collections.abc import Iterable
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
from .mixed_attention import Seen, attend_mixes


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
        q = self.q(video)
        q = self.turn(q, self.norm_q, geometry.a2v_query_rotation, self.heads, into=q)
        if tracks > 1:
            q = q.repeat_interleave(tracks, dim=0)
        q = rearrange(q, "b (t n) d -> (b t) n d", t=frames)
        k, v = (x(audio)[:, geometry.windows].flatten(0, 1) for x in (self.k, self.v))
        k = self.turn(k, self.norm_k, geometry.a2v_key_rotation, self.heads)
        heard = self.attention(q, k, v, self.heads, options=options)
        del q  # as large as what was heard
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
        q = self.turn(self.q(audio), self.norm_q, geometry.v2a_query_rotation, self.heads)
        faces = (video[:, None] * rearrange(face_mask, "b n k -> b k n 1")).flatten(0, 1)
        if geometry.seen_order is None:
            seen = self._see_all(q, faces, geometry, options)
        else:
            latents, nothing = self._show(faces, geometry)
            del faces  # full-length, and not needed any more
            seen = self._see_own(q, latents, nothing, geometry, options)
        return self.o(audio + seen if self.residual_in_output else seen)

    def _see_all(self, q: Tensor, faces: Tensor, geometry: Geometry, options: Any) -> Tensor:
        k = self.k(faces)
        k = self.turn(k, self.norm_k, geometry.v2a_key_rotation, self.heads, into=k)
        return self.attention(q, k, self.v(faces), self.heads, options=options)

    def _show(self, faces: Tensor, geometry: Geometry) -> tuple[Seen, Seen]:
        """What latents show, and what a latent of zeros does."""
        rows = rearrange(faces, "b (t n) d -> (b t) n d", t=geometry.num_latents)
        latents, nothing = (self._project(x, geometry.v2a_key_rotation) for x in (rows, torch.zeros_like(rows[:1, :1])))
        return latents.unflatten(geometry.num_latents), nothing

    def _see_own(self, q: Tensor, latents: Seen, nothing: Seen, geometry: Geometry, options: Any) -> Tensor:
        seen = []
        if (alone := geometry.alone) is not None:
            k, v = (x[:, alone.latents].flatten(0, 1) for x in (latents.turned, latents.values))
            out = self.attention(q[:, alone.queries].flatten(0, 1), k, v, self.heads, options=options)
            seen.append(rearrange(out, "(b g) q d -> b (g q) d", b=q.shape[0]))
            del k, v  # as large as all latents
        if (mixes := geometry.mixes) is not None:
            seen.append(attend_mixes(q[:, mixes.queries], latents, nothing, mixes, self.heads).flatten(1, 2))
        return torch.cat(seen, dim=1)[:, geometry.seen_order]

    def _project(self, faces: Tensor, rotation: Tensor) -> Seen:
        """Keys and values of latents (B, N, D), or of one token (B, 1, D) that is everywhere."""
        keys, values = (x.expand(-1, rotation.shape[1], -1) for x in (self.k(faces), self.v(faces)))
        return Seen(keys, self.turn(keys, self.norm_k, rotation, self.heads), values)


def _sum(tracks: Iterable[Tensor]) -> Tensor:
    """Add tensors up; a single one is passed on as it is."""
    return reduce(add, tracks)
