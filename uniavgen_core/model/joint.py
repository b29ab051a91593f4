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
from .alignment_tables import Geometry, build_geometry
from .audio_branch import AudioBranch
from .branch import PARTS, Stream
from .conditions import Conditions
from .cross_modal import AudioToVideoAttention, VideoToAudioAttention
from .face_mask import FaceSteering
from .video_branch import VideoBranch


@dataclass(frozen=True)
class JointOutput:
    """What one pass predicts.

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
    """Both streams between layers, and what the interaction needs to know of the clip.

    Attributes:
        video: Video stream, reference image first.
        audio: Audio stream, reference voice first.
        video_reference: Reference tokens at the start of the video stream.
        audio_reference: Reference tokens at the start of the audio stream.
        geometry: Tables of the interaction.
        video_noisy: 1 where a latent takes updates, 0 where it is kept, (B, T, 1).
        audio_noisy: 1 where an audio token takes updates, (B * K, S, 1).
        steering: A user's mask; None for none.
        face_masks: Masks predicted so far, each (B, T, N).
    """

    video: Stream
    audio: Stream
    video_reference: int
    audio_reference: int
    geometry: Geometry
    video_noisy: Tensor
    audio_noisy: Tensor
    steering: FaceSteering | None = None
    face_masks: tuple[Tensor, ...] = ()


class JointModel(VideoBranch, AudioBranch):
    """UniAVGen: noisy picture and noisy sound in, the velocity of both out."""

    def __init__(self, config: ModelConfig, backend: Backend = TORCH) -> None:
        super().__init__()
        self.config = config
        self._build_video(config, backend)
        self._build_audio(config, backend)
        modules = range(config.num_interactions)
        self.a2v_blocks = nn.ModuleList(AudioToVideoAttention(config, backend) for _ in modules)
        self.v2a_blocks = nn.ModuleList(VideoToAudioAttention(config, backend) for _ in modules)

    def forward(
        self,
        video: Tensor,
        audio: Tensor,
        timesteps: tuple[Tensor, Tensor],
        conditions: Conditions,
        kept: tuple[Tensor | None, Tensor | None] = (None, None),
        options: Any = None,
    ) -> JointOutput:
        """Predict the velocity of both modalities.

        Args:
            video: Noisy video latents with kept ones written in, (B, C, T, H, W); H and W multiples of the patch size.
            audio: Noisy normalised mel with kept frames written in, (B * K, S, mel_bins); K speakers of one clip have
                K tracks, track k of clip b in row b * K + k.
            timesteps: Time of every latent, (B, T), and of every mel frame, (B * K, S); 0..1000, 0 for clean.
            conditions: Text, references, and which parts of the network run.
            kept: Which latents, bool (B, T), and which mel frames, bool (B * K, S), are kept; None for none. Kept ones
                are seen by the other branch but take no update from it.
            options: Data of the host, handed to every attention call.

        Returns:
            Velocities and face masks.
        """
        video_stream, video_reference = self._embed_video(video, timesteps[0], conditions)
        audio_stream, audio_reference = self._embed_audio(audio, timesteps[1], conditions)
        state = JointState(
            video=video_stream,
            audio=audio_stream,
            video_reference=video_reference,
            audio_reference=audio_reference,
            geometry=self._geometry(video, audio),
            video_noisy=_noisy(kept[0], timesteps[0], video_stream),
            audio_noisy=_noisy(kept[1], timesteps[1], audio_stream),
            steering=conditions.steering,
        )
        del video_stream, audio_stream  # the first state holds them, and lets them go after the first layer
        for layer in range(self.config.num_layers):
            if layer != conditions.skipped_layer:
                state = self.run_layer(layer, state, conditions.interaction, options)
        return self._read_out(state, video.shape)

    def run_layer(self, layer: int, state: JointState, interaction: Interaction, options: Any = None) -> JointState:
        """Run one layer: both blocks, and after them, or between two of their parts, the interaction, if any."""
        module, done = self.config.interaction_of(layer), self.config.variant.position.parts_before
        if module is None:
            return self._run_blocks(layer, state, options)
        state = self._run_blocks(layer, state, options, slice(done))
        state = self._interact(module, state, interaction, options)
        return state if done == PARTS else self._run_blocks(layer, state, options, slice(done, PARTS))

    def _run_blocks(self, layer: int, state: JointState, options: Any, parts: slice = slice(PARTS)) -> JointState:
        """Run both blocks of a layer, or some of their parts."""
        return replace(
            state,
            video=state.video.with_tokens(self.blocks[layer](state.video, options, parts)),
            audio=state.audio.with_tokens(self.audio_blocks[layer](state.audio, options, parts)),
        )

    def _interact(self, module: int, state: JointState, interaction: Interaction, options: Any) -> JointState:
        """Exchange between the branches; both directions read the states from before either update."""
        a2v, v2a, geometry = self.a2v_blocks[module], self.v2a_blocks[module], state.geometry
        video, audio = state.video.tokens[:, state.video_reference :], state.audio.tokens[:, state.audio_reference :]
        predicted = a2v.mask_head(video, state.video.temb[:, -geometry.num_latents :])
        face_mask = self._face_mask(predicted, state)
        mask = rearrange(predicted, "b (t n) 1 -> b t n", t=geometry.num_latents)
        new_video, new_audio = state.video, state.audio
        if interaction.video_to_audio:
            update = v2a(audio, video, face_mask, geometry, options)
            new_audio = _add_after_reference(state.audio, update, state.audio_noisy, state.audio_reference)
        if interaction.audio_to_video:
            update = a2v(video, audio, face_mask, geometry, options)
            new_video = _add_after_reference(state.video, update, state.video_noisy, state.video_reference)
        return replace(state, video=new_video, audio=new_audio, face_masks=(*state.face_masks, mask))

    def _face_mask(self, predicted: Tensor, state: JointState) -> Tensor:
        """Face weight of each video token for each track, (B, T * N, K), from the predicted one, (B, T * N, 1)."""
        if state.steering is not None:
            return state.steering.steer(predicted, self.config.patch_size)
        return predicted.expand(-1, -1, state.audio.tokens.shape[0] // predicted.shape[0])

    def _geometry(self, video: Tensor, audio: Tensor) -> Geometry:
        grid = (video.shape[2], video.shape[3] // self.config.patch_size, video.shape[4] // self.config.patch_size)
        return build_geometry(self.config, grid, audio.shape[1], video)

    def _read_out(self, state: JointState, shape: torch.Size) -> JointOutput:
        video = self._read_video(state.video, state.video_reference, shape)
        audio = self._read_audio(state.audio, state.audio_reference)
        tokens = (shape[0], 0, shape[2], shape[3] * shape[4] // self.config.patch_size**2)
        masks = torch.stack(state.face_masks, dim=1) if state.face_masks else video.new_empty(tokens)
        return JointOutput(video, audio, masks)


def _noisy(kept: Tensor | None, times: Tensor, stream: Stream) -> Tensor:
    """Weights of updates (B, T, 1) in the dtype of a stream: 0 where a mask (B, T) keeps, 1 elsewhere."""
    noisy = torch.ones_like(times) if kept is None else ~kept
    return noisy.to(stream.tokens.dtype)[..., None]


def _add_after_reference(stream: Stream, update: Tensor, noisy: Tensor, reference: int) -> Stream:
    tokens = gated_add(stream.tokens[:, reference:], update, noisy.to(update.dtype))
    return stream.with_tokens(torch.cat((stream.tokens[:, :reference], tokens), dim=1) if reference else tokens)
