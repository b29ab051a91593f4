"""The joint network: two branches, layer by layer, with cross-modal interaction in every second one.

Source: UniAVGen (arXiv:2511.03334), figure 2. Attribute names are the released checkpoint's keys.
Dimension key: B batch, K audio tracks per clip, C latent channels, T video latents, H and W latent rows and columns,
N tokens per latent, S audio tokens, M interaction modules.
"""

from dataclasses import dataclass, replace
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from ..config import Interaction, ModelConfig
from ..layers.backend import TORCH, Backend
from ..layers.modulation import gated_add
from .ablation_variants import PARTS_BEFORE_EXCHANGE, VIDEO_TO_AUDIO, DividedBlock
from .alignment_tables import Geometry, build_geometry
from .audio_branch import AudioBranch
from .branch import Block, Stream, pad_text
from .conditions import Conditions
from .cross_modal import AudioToVideoAttention, VideoToAudioAttention
from .face_mask import FaceSteering
from .video_branch import VideoBranch


@dataclass(frozen=True)
class JointOutput:
    """Predictions of one pass.

    Attributes:
        video: Velocity, noise minus clean, (B, C, T, H, W).
        audio: Velocity of each track, (B * K, S, mel_bins).
        face_masks: Predicted face weight of each video token by each interaction module that ran, (B, M, T, N).
    """

    video: Tensor
    audio: Tensor
    face_masks: Tensor


@dataclass(frozen=True)
class JointState:
    """Both streams between layers, with the tables and masks of the interaction.

    Attributes:
        video: Video stream, reference image first.
        audio: Audio stream, reference voice first.
        geometry: Tables of the interaction.
        video_noisy: 1 for latents that take updates, 0 for kept ones, (B, T, 1).
        audio_noisy: 1 for audio tokens that take updates, 0 for kept ones, (B * K, S, 1).
        steering: A user's mask; None for none.
        face_masks: Masks predicted so far, each (B, T, N).
    """

    video: Stream
    audio: Stream
    geometry: Geometry
    video_noisy: Tensor
    audio_noisy: Tensor
    steering: FaceSteering | None
    face_masks: tuple[Tensor, ...] = ()

    def with_tokens(self, video: Tensor, audio: Tensor) -> "JointState":
        """The same state with other residual streams."""
        return replace(self, video=self.video.with_tokens(video), audio=self.audio.with_tokens(audio))


class JointModel(VideoBranch, AudioBranch):
    """UniAVGen: noisy video and noisy audio in, the velocity of both out."""

    text_embedding_video: nn.Module

    def __init__(self, config: ModelConfig, backend: Backend = TORCH) -> None:
        super().__init__()
        self.config = config
        self.parts_before_exchange = PARTS_BEFORE_EXCHANGE.get(config.variant.position)
        block = Block if self.parts_before_exchange is None else DividedBlock
        self.make_video_layers(config, backend, block, "text_embedding_video")
        self.make_audio_layers(config, backend, block)
        video_to_audio = VIDEO_TO_AUDIO.get(config.variant.v2a_alignment, VideoToAudioAttention)
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
            timesteps: Time of every latent, (B, T), and of every mel frame, (B * K, S); 0..1000, 0 for clean.
            conditions: Texts, references, and the parts of the network that run.
            keep_masks: True for kept latents, bool (B, T), and for kept mel frames, bool (B * K, S); None for none.
                The other branch attends to kept ones, but they take no update from it.
            options: Options of the host, passed to every attention call.
        """
        state = self.embed(video, audio, timesteps, conditions, keep_masks)
        for layer in range(self.config.num_layers):
            if layer != conditions.skip_layer:
                state = self.run_layer(layer, state, conditions.interaction, options)
        return JointOutput(
            video=self.video_velocity(state.video, video.shape),
            audio=self.audio_velocity(state.audio),
            face_masks=_stacked(state),
        )

    def run_layer(self, layer: int, state: JointState, interaction: Interaction, options: Any = None) -> JointState:
        """Run one layer: both blocks, and then the interaction, if the layer has one."""
        blocks, module = (self.blocks[layer], self.audio_blocks[layer]), self.config.interaction_of(layer)
        if module is None:
            return run_blocks(blocks, state, options)
        if self.parts_before_exchange is None:
            return self.interact(module, interaction, options, run_blocks(blocks, state, options))
        before, after = slice(self.parts_before_exchange), slice(self.parts_before_exchange, None)
        state = self.interact(module, interaction, options, run_blocks(blocks, state, options, before))
        return run_blocks(blocks, state, options, after)

    def interact(self, module: int, interaction: Interaction, options: Any, state: JointState) -> JointState:
        """Exchange between the branches; both directions read the states from before either update."""
        a2v: Any = self.a2v_blocks[module]
        v2a, geometry = self.v2a_blocks[module], state.geometry
        video, audio = state.video.clip_tokens, state.audio.clip_tokens
        predicted = a2v.mask_head(video, state.video.temb[:, -geometry.num_latents :])  # (B, T * N, 1)
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
        video_stream = self.embed_video(video, timesteps[0], text, conditions.reference_image)
        audio_stream = self.embed_audio(audio, timesteps[1], conditions)
        return JointState(
            video=video_stream,
            audio=audio_stream,
            geometry=self.geometry_of(video, audio),
            video_noisy=_noisy(keep_masks[0], timesteps[0], video_stream),
            audio_noisy=_noisy(keep_masks[1], timesteps[1], audio_stream),
            steering=conditions.steering,
        )

    def geometry_of(self, video: Tensor, audio: Tensor) -> Geometry:
        """Tables of the interaction for latents of these shapes."""
        grid = (video.shape[2], video.shape[3] // self.config.patch_size, video.shape[4] // self.config.patch_size)
        return build_geometry(self.config, grid, audio.shape[1], video)

    def _face_mask(self, predicted: Tensor, state: JointState) -> Tensor:
        """Face weight of each video token for each track, (B, T * N, K), from (B, T * N, 1)."""
        if state.steering is not None:
            return state.steering.steer(predicted, self.config.patch_size)
        return predicted.expand(-1, -1, state.audio.tokens.shape[0] // predicted.shape[0])


def run_blocks(blocks: tuple[nn.Module, nn.Module], state: JointState, *arguments: Any) -> JointState:
    """Run the video and the audio block of a layer, both with these arguments."""
    video, audio = blocks
    return state.with_tokens(video(state.video, *arguments), audio(state.audio, *arguments))


def _noisy(keep_mask: Tensor | None, times: Tensor, stream: Stream) -> Tensor:
    """Weights of a stream's updates (B, T, 1): 0 where a mask (B, T) keeps, 1 elsewhere."""
    noisy = torch.ones_like(times) if keep_mask is None else ~keep_mask
    return noisy.to(stream.tokens.dtype)[..., None]


def _add_update(stream: Stream, update: Tensor, noisy: Tensor) -> Stream:
    """Add an update of the clip's tokens (B, T * N, D), weighted by (B, T, 1)."""
    return stream.with_clip_tokens(gated_add(stream.clip_tokens, update, noisy.to(update.dtype)))


def _stacked(state: JointState) -> Tensor:
    """Predicted masks of all modules, (B, M, T, N)."""
    if state.face_masks:
        return torch.stack(state.face_masks, dim=1)
    tokens, latents = state.video.clip_tokens, state.geometry.num_latents
    return tokens.new_empty(tokens.shape[0], 0, latents, tokens.shape[1] // latents)
