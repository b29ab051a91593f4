"""The joint network: two branches, layer by layer, with cross-modal interaction in every second one.

Source: UniAVGen (arXiv:2511.03334), figure 2. Attribute names are the released checkpoint's keys.
Dimension key: B batch, K audio tracks per clip, C latent channels, T video latents, H and W latent rows and columns,
N tokens per latent, S audio tokens, R reference voice tokens, L characters, M interaction modules.
"""

from dataclasses import dataclass, replace
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from ..config import Interaction, ModelConfig
from ..layers.backend import TORCH, Backend
from ..layers.rope import rotation_1d, rotation_3d
from .branch import PARTS, Block, Head, Stream, embed_times, pad_text, time_embedding, time_projection
from .cross_modal import AudioToVideoAttention, VideoToAudioAttention
from .face_mask import FaceSteering
from .geometry import Geometry, build_geometry
from .speech_text import SpeechTextEncoder


@dataclass(frozen=True)
class Conditions:
    """What one pass of the network is conditioned on.

    Attributes:
        caption: Caption features, (B, L, caption_dim); zeros are added up to the model's caption length.
        speech_ids: Characters of each track's transcript, -1 for filler, long, (B * K, L).
        speech_lengths: Characters the audio branch sees, (B * K,); None for all L.
        speech_positions: Mel frame, reference voice included, at which each character is expected, (B * K, L); None
            for the model's own spacing.
        reference_image: Latent of the reference image, (B, C, 1, H, W); None for none.
        reference_audio: Normalised mel of each track's reference voice, (B * K, R, mel_bins); None for none.
        interaction: Directions that update their target.
        skipped_layer: Layer left out with its interaction; None for none.
        steering: A user's mask for each track; None for the predicted one alone.
    """

    caption: Tensor
    speech_ids: Tensor
    speech_lengths: Tensor | None = None
    speech_positions: Tensor | None = None
    reference_image: Tensor | None = None
    reference_audio: Tensor | None = None
    interaction: Interaction = Interaction.BOTH
    skipped_layer: int | None = None
    steering: FaceSteering | None = None


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
        video_noisy: 1 where a latent takes updates, 0 where it is kept, (B, T, 1, 1); None for all ones.
        audio_noisy: 1 where an audio token takes updates, (B * K, S, 1); None for all ones.
        steering: A user's mask; None for none.
        face_masks: Masks predicted so far, each (B, T, N).
    """

    video: Stream
    audio: Stream
    video_reference: int
    audio_reference: int
    geometry: Geometry
    video_noisy: Tensor | None
    audio_noisy: Tensor | None
    steering: FaceSteering | None = None
    face_masks: tuple[Tensor, ...] = ()


class JointModel(nn.Module):
    """UniAVGen: noisy picture and noisy sound in, the velocity of both out."""

    def __init__(self, config: ModelConfig, backend: Backend = TORCH) -> None:
        super().__init__()
        self.config = config
        ops, video, audio, text = backend.ops, config.video, config.audio, config.text
        patch = (1, config.patch_size, config.patch_size)
        self.audio_padding = nn.Parameter(torch.empty(audio.dim))
        self.patch_embedding = ops.Conv3d(config.latent_channels, video.dim, kernel_size=patch, stride=patch)
        self.audio_embedding = _mlp(config.mel_bins, audio.dim, backend)
        self.text_embedding_video = _mlp(text.caption_dim, video.dim, backend)
        self.text_embedding = SpeechTextEncoder(text, backend)
        self.text_proj = ops.Linear(text.speech_dim, audio.dim, bias=False)
        self.time_embedding = time_embedding(config.time_dim, video.dim, backend)
        self.time_projection = time_projection(video.dim, backend)
        self.time_embedding_audio = time_embedding(config.time_dim, audio.dim, backend)
        self.time_projection_audio = time_projection(audio.dim, backend)
        self.blocks = nn.ModuleList(Block(video, backend) for _ in range(config.num_layers))
        self.audio_blocks = nn.ModuleList(Block(audio, backend) for _ in range(config.num_layers))
        modules = range(config.num_interactions)
        self.a2v_blocks = nn.ModuleList(AudioToVideoAttention(config, backend) for _ in modules)
        self.v2a_blocks = nn.ModuleList(VideoToAudioAttention(config, backend) for _ in modules)
        self.head = Head(video.dim, config.latent_channels * config.patch_size**2, backend)
        self.head_audio = Head(audio.dim, config.mel_bins, backend)

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
        state = JointState(
            *self._embed(video, audio, timesteps, conditions),
            geometry=self._geometry(video, audio),
            video_noisy=_noisy(kept[0], video, 2),
            audio_noisy=_noisy(kept[1], audio, 1),
            steering=conditions.steering,
        )
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
        if interaction.audio_to_video:
            update = a2v(video, audio, face_mask, geometry, options)
            if state.video_noisy is not None:
                update = rearrange(update, "b (t n) d -> b t n d", t=geometry.num_latents) * state.video_noisy
                update = update.flatten(1, 2)
            new_video = _add_after_reference(state.video, update, state.video_reference)
        if interaction.video_to_audio:
            update = v2a(audio, video, face_mask, geometry, options)
            if state.audio_noisy is not None:
                update = update * state.audio_noisy
            new_audio = _add_after_reference(state.audio, update, state.audio_reference)
        return replace(state, video=new_video, audio=new_audio, face_masks=(*state.face_masks, mask))

    def _face_mask(self, predicted: Tensor, state: JointState) -> Tensor:
        """Face weight of each video token for each track, (B, T * N, K), from the predicted one, (B, T * N, 1)."""
        if state.steering is not None:
            return state.steering.steer(predicted, self.config.patch_size)
        return predicted.expand(-1, -1, state.audio.tokens.shape[0] // predicted.shape[0])

    def _embed(
        self, video: Tensor, audio: Tensor, timesteps: tuple[Tensor, Tensor], conditions: Conditions
    ) -> tuple[Stream, Stream, int, int]:
        """Embed both inputs, references first; returns the streams and their numbers of reference tokens."""
        image, voice = conditions.reference_image, conditions.reference_audio
        video_times, audio_times = timesteps
        video_reference = audio_reference = 0
        if image is not None:
            video = torch.cat((image, video), dim=2)
            video_times = torch.cat((torch.zeros_like(video_times[:, :1]), video_times), dim=1)
            video_reference = image.shape[-1] * image.shape[-2] // self.config.patch_size**2
        if voice is not None:
            audio_reference = voice.shape[1]
            # The release keeps one time for the whole audio sequence; a reference voice follows the noisiest token.
            voice_times = audio_times.amax(dim=1, keepdim=True).expand(-1, audio_reference)
            audio, audio_times = torch.cat((voice, audio), dim=1), torch.cat((voice_times, audio_times), dim=1)
        return (
            self._video_stream(video, video_times, conditions.caption),
            self._audio_stream(audio, audio_times, conditions),
            video_reference,
            audio_reference,
        )

    def _video_stream(self, video: Tensor, times: Tensor, caption: Tensor) -> Stream:
        patches = self.patch_embedding(video)
        temb, modulation = embed_times(
            times, self.config.time_dim, self.time_embedding, self.time_projection, video.dtype
        )
        positions = torch.arange(patches.shape[2], device=video.device)
        return Stream(
            tokens=rearrange(patches, "b d t h w -> b (t h w) d"),
            temb=temb,
            modulation=modulation,
            rotation=rotation_3d(positions, *patches.shape[3:], self.config.video.head_dim),
            text=self.text_embedding_video(pad_text(caption, self.config.text.caption_length)),
        )

    def _audio_stream(self, audio: Tensor, times: Tensor, conditions: Conditions) -> Stream:
        text, head_dim = self.config.text, self.config.audio.head_dim
        temb, modulation = embed_times(
            times, self.config.time_dim, self.time_embedding_audio, self.time_projection_audio, audio.dtype
        )
        rotation = rotation_1d(torch.arange(audio.shape[1], device=audio.device), head_dim)
        characters = torch.arange(conditions.speech_ids.shape[1], device=audio.device)
        lengths, places = conditions.speech_lengths, conditions.speech_positions
        if places is None:
            places = characters * text.position_scale + text.position_offset
        return Stream(
            tokens=self.audio_embedding(audio),
            temb=temb,
            modulation=modulation,
            rotation=rotation,
            text=self.text_proj(self.text_embedding(conditions.speech_ids, audio.dtype, lengths)),
            text_rotations=(rotation, rotation_1d(places, head_dim)),
            text_mask=None if lengths is None else characters < lengths[:, None],
        )

    def _geometry(self, video: Tensor, audio: Tensor) -> Geometry:
        grid = (video.shape[2], video.shape[3] // self.config.patch_size, video.shape[4] // self.config.patch_size)
        return build_geometry(self.config, grid, audio.shape[1], video)

    def _read_out(self, state: JointState, shape: torch.Size) -> JointOutput:
        size = self.config.patch_size
        patches = self.head(state.video.tokens, state.video.temb)[:, state.video_reference :]
        rows, columns = shape[3] // size, shape[4] // size
        video = rearrange(
            patches, "b (t h w) (p q c) -> b c t (h p) (w q)", h=rows, w=columns, p=size, q=size, t=shape[2]
        )
        audio = self.head_audio(state.audio.tokens, state.audio.temb)[:, state.audio_reference :]
        tokens = (shape[0], 0, shape[2], rows * columns)
        masks = torch.stack(state.face_masks, dim=1) if state.face_masks else video.new_empty(tokens)
        return JointOutput(video, audio, masks)


def _mlp(in_dim: int, dim: int, backend: Backend) -> nn.Sequential:
    return nn.Sequential(backend.ops.Linear(in_dim, dim), nn.GELU("tanh"), backend.ops.Linear(dim, dim))


def _noisy(kept: Tensor | None, like: Tensor, trailing: int) -> Tensor | None:
    """Turn a mask of kept places (B, T) into factors for updates, with trailing axes of size one."""
    return None if kept is None else (~kept).to(like.dtype)[(..., *(None,) * trailing)]


def _add_after_reference(stream: Stream, update: Tensor, reference: int) -> Stream:
    tokens = stream.tokens
    return stream.with_tokens(torch.cat((tokens[:, :reference], tokens[:, reference:] + update), dim=1))
