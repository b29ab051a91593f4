"""The audio branch from mel frames to velocities; alone it makes speech without a video.

Source: UniAVGen (arXiv:2511.03334), section 3.1.
Dimension key: B batch, K audio tracks per clip, S audio tokens, R reference voice tokens, D width, L characters.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..config import ModelConfig
from ..layers.backend import TORCH, Backend
from ..layers.rope import rope_1d
from .branch import Block, Head, Stream, embed_times, mlp, time_embedding, time_projection
from .conditions import Conditions
from .speech_text import SpeechTextEncoder


@dataclass(frozen=True)
class AudioBranch:
    """Embedding and head of the audio branch, made of layers that a network has under its checkpoint's names.

    Attributes:
        config: The network's sizes.
        audio_embedding: Mel frames to tokens.
        text_embedding: Characters to features.
        text_proj: Features of characters to text tokens.
        time_embedding: Sinusoidal time features to the time embedding.
        time_projection: Time embedding to modulation vectors.
        head: Tokens to velocities of mel frames.
    """

    config: ModelConfig
    audio_embedding: nn.Module
    text_embedding: nn.Module
    text_proj: nn.Module
    time_embedding: nn.Module
    time_projection: nn.Module
    head: nn.Module

    @classmethod
    def of(cls, network: Any) -> "AudioBranch":
        """Branch of a network that has the joint checkpoint's layers."""
        return cls(
            network.config,
            network.audio_embedding,
            network.text_embedding,
            network.text_proj,
            network.time_embedding_audio,
            network.time_projection_audio,
            network.head_audio,
        )

    def embed(self, audio: Tensor, times: Tensor, conditions: Conditions) -> Stream:
        """Embed a clip, the reference voice before it.

        The release keeps one time for the whole audio sequence; a reference voice follows the noisiest token.

        Args:
            audio: Noisy normalised mel, (B * K, S, mel_bins).
            times: Time of every mel frame, (B * K, S).
            conditions: Speech and reference voice.
        """
        voice, head_dim = conditions.reference_audio, self.config.audio.head_dim
        if voice is not None:
            voice_times = times.amax(dim=1, keepdim=True).expand(-1, voice.shape[1])
            audio, times = torch.cat((voice, audio), dim=1), torch.cat((voice_times, times), dim=1)
        temb, modulation = embed_times(
            times, self.config.time_dim, self.time_embedding, self.time_projection, audio.dtype
        )
        rope = rope_1d(torch.arange(audio.shape[1], device=audio.device), head_dim)
        text, positions, mask = self._read_speech(conditions, audio)
        return Stream(
            tokens=self.audio_embedding(audio),
            temb=temb,
            modulation=modulation,
            rope=rope,
            text=text,
            text_ropes=(rope, rope_1d(positions, head_dim)),
            text_mask=mask,
            num_reference=0 if voice is None else voice.shape[1],
        )

    def _read_speech(self, conditions: Conditions, like: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Text tokens, (B * K, L, D), the mel frame at which each is expected, (L,) or (B * K, L), and their mask."""
        ids, lengths, positions = conditions.spoken, conditions.speech_lengths, conditions.speech_positions
        text, characters = self.config.text, torch.arange(ids.shape[1], device=like.device)
        if positions is None:
            positions = characters * text.position_scale + text.position_offset
        tokens = self.text_proj(self.text_embedding(ids, like.dtype, lengths))
        return tokens, positions, None if lengths is None else characters < lengths[:, None]

    def velocity(self, stream: Stream) -> Tensor:
        """Velocities of the clip's mel frames, (B * K, S, mel_bins)."""
        return self.head(stream.tokens, stream.temb)[:, stream.num_reference :]


class AudioModel(nn.Module):
    """The audio branch alone: noisy audio in, its velocity out. Attribute names are the joint checkpoint's keys."""

    def __init__(self, config: ModelConfig, backend: Backend = TORCH) -> None:
        super().__init__()
        self.config, dim = config, config.audio.dim
        self.audio_padding = nn.Parameter(torch.empty(dim))  # part of the release's checkpoint; nothing reads it
        self.audio_embedding = mlp(config.mel_bins, dim, backend)
        self.text_embedding = SpeechTextEncoder(config.text, backend)
        self.text_proj = backend.ops.Linear(config.text.speech_dim, dim, bias=False)
        self.time_embedding_audio = time_embedding(config.time_dim, dim, backend)
        self.time_projection_audio = time_projection(dim, backend)
        self.audio_blocks = nn.ModuleList(Block(config.audio, backend) for _ in range(config.num_layers))
        self.head_audio = Head(dim, config.mel_bins, backend)

    @property
    def branch(self) -> AudioBranch:
        """Embedding and head."""
        return AudioBranch.of(self)

    def forward(self, audio: Tensor, timesteps: Tensor, conditions: Conditions, options: Any = None) -> Tensor:
        """Predict the velocity of the audio.

        Args:
            audio: Noisy normalised mel with kept frames written in, (B * K, S, mel_bins).
            timesteps: Time of every mel frame, (B * K, S); 0..1000, 0 for clean.
            conditions: Speech, reference voice, and the layer to leave out.
            options: Options of the host, passed to every attention call.

        Returns:
            Velocity, noise minus clean, shape of ``audio``.
        """
        stream = self.branch.embed(audio, timesteps, conditions)
        for layer in range(self.config.num_layers):
            if layer != conditions.skip_layer:
                stream = self.run_layer(layer, stream, options)
        return self.branch.velocity(stream)

    def run_layer(self, layer: int, stream: Stream, options: Any = None) -> Stream:
        """Run one block."""
        return stream.with_tokens(self.audio_blocks[layer](stream, options))
