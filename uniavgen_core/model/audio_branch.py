"""The audio branch from mel frames to velocities; alone it makes speech without a picture.

Source: UniAVGen (arXiv:2511.03334), section 3.1.
Dimension key: B batch, K audio tracks per clip, S audio tokens, R reference voice tokens, D width, L characters.
"""

from typing import Any

import torch
from torch import Tensor, nn

from ..config import ModelConfig
from ..layers.backend import TORCH, Backend
from ..layers.rope import rotation_1d
from .branch import Block, Head, Stream, embed_times, time_embedding, time_projection
from .conditions import Conditions
from .mlp import mlp
from .speech_text import SpeechTextEncoder


class AudioBranch(nn.Module):
    """What of the network is the audio branch's own; attribute names are the released checkpoint's keys."""

    config: ModelConfig

    def _build_audio(self, config: ModelConfig, backend: Backend) -> None:
        audio, text = config.audio, config.text
        self.audio_padding = nn.Parameter(torch.empty(audio.dim))
        self.audio_embedding = mlp(config.mel_bins, audio.dim, backend)
        self.text_embedding = SpeechTextEncoder(text, backend)
        self.text_proj = backend.ops.Linear(text.speech_dim, audio.dim, bias=False)
        self.time_embedding_audio = time_embedding(config.time_dim, audio.dim, backend)
        self.time_projection_audio = time_projection(audio.dim, backend)
        self.audio_blocks = nn.ModuleList(Block(audio, backend) for _ in range(config.num_layers))
        self.head_audio = Head(audio.dim, config.mel_bins, backend)

    def _embed_audio(self, audio: Tensor, times: Tensor, conditions: Conditions) -> tuple[Stream, int]:
        """Embed mel frames (B * K, S, mel_bins) of times (B * K, S), the voice first; gives its number of tokens too.

        The release keeps one time for the whole audio sequence; a reference voice follows the noisiest token.
        """
        voice = conditions.reference_audio
        if voice is None:
            return self._audio_stream(audio, times, conditions), 0
        voice_times = times.amax(dim=1, keepdim=True).expand(-1, voice.shape[1])
        audio, times = torch.cat((voice, audio), dim=1), torch.cat((voice_times, times), dim=1)
        return self._audio_stream(audio, times, conditions), voice.shape[1]

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

    def _read_audio(self, stream: Stream, reference: int) -> Tensor:
        """Velocities of the mel frames after the reference voice, (B * K, S, mel_bins)."""
        return self.head_audio(stream.tokens, stream.temb)[:, reference:]


class AudioModel(AudioBranch):
    """The audio branch alone: a noisy sound in, its velocity out."""

    def __init__(self, config: ModelConfig, backend: Backend = TORCH) -> None:
        super().__init__()
        self.config = config
        self._build_audio(config, backend)

    def forward(self, audio: Tensor, timesteps: Tensor, conditions: Conditions, options: Any = None) -> Tensor:
        """Predict the velocity of the sound.

        Args:
            audio: Noisy normalised mel with kept frames written in, (B * K, S, mel_bins).
            timesteps: Time of every mel frame, (B * K, S); 0..1000, 0 for clean.
            conditions: Speech, reference voice, and which layer is left out.
            options: Data of the host, handed to every attention call.

        Returns:
            Velocity, noise minus clean, shape of ``audio``.
        """
        stream, reference = self._embed_audio(audio, timesteps, conditions)
        for layer in range(self.config.num_layers):
            if layer != conditions.skipped_layer:
                stream = self.run_layer(layer, stream, options)
        return self._read_audio(stream, reference)

    def run_layer(self, layer: int, stream: Stream, options: Any = None) -> Stream:
        """Run one block."""
        return stream.with_tokens(self.audio_blocks[layer](stream, options))
