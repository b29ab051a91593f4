"""The video branch from latents to velocities; alone it is Wan2.2-TI2V-5B, under Wan's own names.

Source: Wan (arXiv:2503.20314); UniAVGen (arXiv:2511.03334), section 3.1.
Dimension key: B batch, C latent channels, T video latents, H and W latent rows and columns, N tokens per latent, D
width, L caption tokens.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ..config import ModelConfig
from ..layers.backend import TORCH, Backend
from ..layers.rope import rope_3d
from .branch import Block, Head, Stream, embed_times, mlp, pad_text, time_embedding, time_projection
from .conditions import Conditions


@dataclass(frozen=True)
class VideoBranch:
    """Embedding and head of the video branch, made of layers that a network has under its checkpoint's names.

    Attributes:
        config: The network's sizes.
        patch_embedding: Latents to tokens.
        time_embedding: Sinusoidal time features to the time embedding.
        time_projection: Time embedding to modulation vectors.
        head: Tokens to velocities of patches.
    """

    config: ModelConfig
    patch_embedding: nn.Module
    time_embedding: nn.Module
    time_projection: nn.Module
    head: nn.Module

    @classmethod
    def of(cls, network: Any) -> "VideoBranch":
        """Branch of a network that has Wan's layers."""
        return cls(
            network.config, network.patch_embedding, network.time_embedding, network.time_projection, network.head
        )

    def embed(self, video: Tensor, times: Tensor, text: Tensor, reference_image: Tensor | None) -> Stream:
        """Embed a clip, the reference image before it.

        Args:
            video: Noisy latents, (B, C, T, H, W).
            times: Time of every latent, (B, T), or of every latent pixel, (B, T, H, W): tokens have their highest.
            text: Text tokens, (B, L, D).
            reference_image: Clean latent, (B, C, 1, H, W); None for none.
        """
        if times.ndim > 2:
            times = F.max_pool2d(times, self.config.patch_size)
        if reference_image is not None:
            video = torch.cat((reference_image, video), dim=2)
            times = torch.cat((torch.zeros_like(times[:, :1]), times), dim=1)
        patches = self.patch_embedding(video)  # (B, D, T, rows, columns)
        rows, columns = patches.shape[3:]
        temb, modulation, places = self._embed_times(times, video.dtype)
        positions = torch.arange(patches.shape[2], device=video.device)
        return Stream(
            tokens=rearrange(patches, "b d t h w -> b (t h w) d").contiguous(),
            temb=temb,
            modulation=modulation,
            rope=rope_3d(positions, rows, columns, self.config.video.head_dim),
            text=text,
            num_reference=0 if reference_image is None else rows * columns,
            places=places,
        )

    def _embed_times(self, times: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor | None]:
        """Embed times (B, T), or the different ones among those of all tokens (B, T, rows, columns), with places."""
        different, places = times, None
        if times.ndim > 2:
            different, places = times.flatten(1).unique(return_inverse=True)
            different = different[None]
        layers = (self.config.time_dim, self.time_embedding, self.time_projection, dtype)
        return *embed_times(different, *layers), places

    def velocity(self, stream: Stream, shape: torch.Size) -> Tensor:
        """Velocities of the stream's latents, (B, C, T, H, W); ``shape`` gives their rows H and columns W."""
        size = self.config.patch_size
        patches = self.head(stream.tokens, stream.temb, stream.places)  # (B, T * N, patch * patch * C)
        patches = patches[:, stream.num_reference :]
        rows, columns = shape[3] // size, shape[4] // size
        return rearrange(patches, "b (t h w) (p q c) -> b c t (h p) (w q)", h=rows, w=columns, p=size, q=size)


def patch_embedding(config: ModelConfig, backend: Backend) -> nn.Module:
    """Layer from latents to tokens."""
    patch = (1, config.patch_size, config.patch_size)
    return backend.ops.Conv3d(config.latent_channels, config.video.dim, kernel_size=patch, stride=patch)


def video_head(config: ModelConfig, backend: Backend) -> Head:
    """Head from tokens to velocities of patches."""
    return Head(config.video.dim, config.latent_channels * config.patch_size**2, backend)


class VideoModel(nn.Module):
    """The video branch alone: a noisy video in, its velocity out. Attribute names are Wan's checkpoint keys."""

    def __init__(self, config: ModelConfig, backend: Backend = TORCH) -> None:
        super().__init__()
        self.config, dim = config, config.video.dim
        self.patch_embedding = patch_embedding(config, backend)
        self.text_embedding = mlp(config.text.caption_dim, dim, backend)
        self.time_embedding = time_embedding(config.time_dim, dim, backend)
        self.time_projection = time_projection(dim, backend)
        self.blocks = nn.ModuleList(Block(config.video, backend) for _ in range(config.num_layers))
        self.head = video_head(config, backend)

    @property
    def branch(self) -> VideoBranch:
        """Embedding and head."""
        return VideoBranch.of(self)

    def forward(self, video: Tensor, timesteps: Tensor, conditions: Conditions, options: Any = None) -> Tensor:
        """Predict the velocity of the video.

        Args:
            video: Noisy latents with kept ones written in, (B, C, T, H, W); H and W multiples of the patch size.
            timesteps: Time of every latent, (B, T), or of every latent pixel, (B, T, H, W); 0..1000, 0 for clean.
            conditions: Caption, reference image, and the layer to leave out. A caption longer than the model's length
                is read whole, as ComfyUI's Wan does.
            options: Options of the host, passed to every attention call.

        Returns:
            Velocity, noise minus clean, shape of ``video``.
        """
        caption = conditions.described
        caption = pad_text(caption, max(self.config.text.caption_length, caption.shape[1]))
        stream = self.branch.embed(video, timesteps, self.text_embedding(caption), conditions.reference_image)
        for layer in range(self.config.num_layers):
            if layer != conditions.skip_layer:
                stream = self.run_layer(layer, stream, options)
        return self.branch.velocity(stream, video.shape)

    def run_layer(self, layer: int, stream: Stream, options: Any = None) -> Stream:
        """Run one block."""
        return stream.with_tokens(self.blocks[layer](stream, options))
