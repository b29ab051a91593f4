"""The joint network: two branches, layer by layer, with cross-modal interaction in every second one.

Source: UniAVGen (arXiv:2511.03334), figure 2. Attribute names are the released checkpoint's keys.
Dimension key: B batch, K audio tracks per clip, C latent channels, T video latents, H and W latent rows and columns,
N tokens per latent, S audio tokens, M interaction modules.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ..config import Interaction, ModelConfig
from ..layers.backend import TORCH, Backend
from ..layers.modulation import gated_add
from .ablation_variants import VIDEO_TO_AUDIO, WITHIN_BLOCKS
from .alignment_tables import Geometry, build_geometry
from .audio_branch import AudioBranch
from .branch import Block, Head, Stream, mlp, pad_text, time_embedding, time_projection
from .conditions import Conditions
from .cross_modal import AudioToVideoAttention, VideoToAudioAttention
from .joint_state import JointOutput, JointState
from .speech_text import SpeechTextEncoder
from .video_branch import VideoBranch, patch_embedding, video_head


class JointModel(nn.Module):
    """UniAVGen: noisy video and noisy audio in, the velocity of both out."""

    def __init__(self, config: ModelConfig, backend: Backend = TORCH) -> None:
        super().__init__()
        self.config = config
        video, audio, text, layers = config.video, config.audio, config.text, range(config.num_layers)
        block, self._exchange = WITHIN_BLOCKS.get(config.variant.position, (Block, blocks_then_exchange))
        video_to_audio = VIDEO_TO_AUDIO.get(config.variant.v2a_alignment, VideoToAudioAttention)

        self.patch_embedding = patch_embedding(config, backend)
        self.text_embedding_video = mlp(text.caption_dim, video.dim, backend)
        self.time_embedding = time_embedding(config.time_dim, video.dim, backend)
        self.time_projection = time_projection(video.dim, backend)
        self.blocks = nn.ModuleList(block(video, backend) for _ in layers)
        self.head = video_head(config, backend)

        self.audio_padding = nn.Parameter(torch.empty(audio.dim))  # part of the release's checkpoint; nothing reads it
        self.audio_embedding = mlp(config.mel_bins, audio.dim, backend)
        self.text_embedding = SpeechTextEncoder(text, backend)
        self.text_proj = backend.ops.Linear(text.speech_dim, audio.dim, bias=False)
        self.time_embedding_audio = time_embedding(config.time_dim, audio.dim, backend)
        self.time_projection_audio = time_projection(audio.dim, backend)
        self.audio_blocks = nn.ModuleList(block(audio, backend) for _ in layers)
        self.head_audio = Head(audio.dim, config.mel_bins, backend)

        modules = range(config.num_interactions)
        self.a2v_blocks = nn.ModuleList(AudioToVideoAttention(config, backend) for _ in modules)
        self.v2a_blocks = nn.ModuleList(video_to_audio(config, backend) for _ in modules)

    def forward(
        self,
        video: Tensor,
        audio: Tensor,
        timesteps: tuple[Tensor, Tensor],
        conditions: Conditions,
        keep_masks: tuple[Tensor | None, Tensor | None] = (None, None),
        options: Any = None,
    ) -> JointOutput:
        """Predict the velocity of both modalities.

        Args:
            video: Noisy video latents with kept ones written in, (B, C, T, H, W); H and W multiples of the patch size.
            audio: Noisy normalised mel with kept frames written in, (B * K, S, mel_bins); K speakers of one clip have
                K tracks, track k of clip b in row b * K + k.
            timesteps: Time of every latent, (B, T), or of every latent pixel, (B, T, H, W), and of every mel frame,
                (B * K, S); 0..1000, 0 for clean.
            conditions: Texts, references, and the parts of the network that run.
            keep_masks: True for kept latents, bool (B, T), or kept latent pixels, bool (B, T, H, W), whole tokens of
                them, and for kept mel frames, bool (B * K, S); None for none.
                The other branch attends to kept ones, but they take no update from it.
            options: Options of the host, passed to every attention call.

        Returns:
            Velocities and face masks.
        """
        state = self.embed(video, audio, timesteps, conditions, keep_masks)
        for layer in range(self.config.num_layers):
            if layer != conditions.skip_layer:
                state = self.run_layer(layer, state, conditions.interaction, options)
        return JointOutput(
            video=self.video_branch.velocity(state.video, video.shape),
            audio=self.audio_branch.velocity(state.audio),
            face_masks=_stacked(state),
        )

    def run_layer(self, layer: int, state: JointState, interaction: Interaction, options: Any = None) -> JointState:
        """Run one layer: both blocks, and then the interaction, if the layer has one."""
        blocks, module = (self.blocks[layer], self.audio_blocks[layer]), self.config.interaction_of(layer)
        if module is None:
            return run_blocks(blocks, state, options)
        return self._exchange(blocks, state, partial(self.interact, module, interaction, options), options)

    def interact(self, module: int, interaction: Interaction, options: Any, state: JointState) -> JointState:
        """Exchange between the branches; both directions read the states from before either update."""
        a2v: Any = self.a2v_blocks[module]
        v2a, geometry = self.v2a_blocks[module], state.geometry
        video, audio = state.video.clip_tokens, state.audio.clip_tokens
        predicted = a2v.mask_head(video, *state.video.clip_temb)  # (B, T * N, 1)
        face_mask = self._face_mask(predicted, state)  # (B, T * N, K)
        new_video, new_audio = state.video, state.audio
        if interaction.video_to_audio:
            update = v2a(audio, video, face_mask, geometry, options)
            new_audio = _add_update(state.audio, update, state.audio_noisy)
        if interaction.audio_to_video:
            update = a2v(video, audio, face_mask, geometry, options)
            new_video = _add_update(state.video, update, state.video_noisy)
        mask = rearrange(predicted, "b (t n) 1 -> b t n", t=geometry.num_latents)
        return replace(state, video=new_video, audio=new_audio, face_masks=(*state.face_masks, mask))

    @property
    def video_branch(self) -> VideoBranch:
        """Embedding and head of the video branch."""
        return VideoBranch.of(self)

    @property
    def audio_branch(self) -> AudioBranch:
        """Embedding and head of the audio branch."""
        return AudioBranch.of(self)

    def embed(
        self,
        video: Tensor,
        audio: Tensor,
        timesteps: tuple[Tensor, Tensor],
        conditions: Conditions,
        keep_masks: tuple[Tensor | None, Tensor | None],
    ) -> JointState:
        """Embed both modalities with their references; arguments as in ``forward``."""
        text = self.text_embedding_video(pad_text(conditions.described, self.config.text.caption_length))
        video_stream = self.video_branch.embed(video, timesteps[0], text, conditions.reference_image)
        audio_stream = self.audio_branch.embed(audio, timesteps[1], conditions)
        return JointState(
            video=video_stream,
            audio=audio_stream,
            geometry=self.geometry_of(video, audio),
            video_noisy=_noisy(self._kept_tokens(keep_masks[0]), (video.shape[0], video.shape[2]), video_stream),
            audio_noisy=_noisy(keep_masks[1], audio.shape[:2], audio_stream),
            steering=conditions.steering,
        )

    def _kept_tokens(self, mask: Tensor | None) -> Tensor | None:
        """Mask of the video's time steps, from one over latents (B, T) or latent pixels (B, T, H, W)."""
        if mask is None or mask.ndim == 2:
            return mask
        return F.avg_pool2d(mask.float(), self.config.patch_size).flatten(1) == 1

    def geometry_of(self, video: Tensor, audio: Tensor) -> Geometry:
        """Tables of the interaction for latents of these shapes."""
        grid = (video.shape[2], video.shape[3] // self.config.patch_size, video.shape[4] // self.config.patch_size)
        return build_geometry(self.config, grid, audio.shape[1], video)

    def _face_mask(self, predicted: Tensor, state: JointState) -> Tensor:
        """Face weight of each video token for each track, (B, T * N, K), from the predicted one, (B, T * N, 1)."""
        if state.steering is not None:
            return state.steering.steer(predicted, self.config.patch_size)
        return predicted.expand(-1, -1, state.audio.tokens.shape[0] // predicted.shape[0])


def run_blocks(blocks: tuple[nn.Module, nn.Module], state: JointState, options: Any) -> JointState:
    """Run the video and the audio block of a layer."""
    video, audio = blocks
    return state.with_tokens(video(state.video, options), audio(state.audio, options))


def blocks_then_exchange(
    blocks: tuple[nn.Module, nn.Module], state: JointState, exchange: Callable[[JointState], JointState], options: Any
) -> JointState:
    """Run a layer whose branches exchange after its blocks, as in the paper's figure."""
    return exchange(run_blocks(blocks, state, options))


def _noisy(keep_mask: Tensor | None, shape: tuple[int, ...], stream: Stream) -> Tensor:
    """Weights of a stream's updates: 0 where a mask (B, T), or over tokens (B, T * N), keeps, 1 elsewhere.

    The shape is that of the mask, or without one ``shape``, with a last axis of 1.
    """
    if keep_mask is None:
        return stream.tokens.new_ones(*shape, 1)
    return (~keep_mask).to(stream.tokens.dtype)[..., None]


def _add_update(stream: Stream, update: Tensor, noisy: Tensor) -> Stream:
    """Add an update of the clip's tokens (B, T * N, D), weighted by (B, T, 1)."""
    return stream.with_clip_tokens(gated_add(stream.clip_tokens, update, noisy.to(update.dtype)))


def _stacked(state: JointState) -> Tensor:
    """Predicted masks of all modules, (B, M, T, N)."""
    if state.face_masks:
        return torch.stack(state.face_masks, dim=1)
    tokens, latents = state.video.clip_tokens, state.geometry.num_latents
    return tokens.new_empty(tokens.shape[0], 0, latents, tokens.shape[1] // latents)
