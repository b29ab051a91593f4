"""The video branch from latents to velocities; alone it is Wan2.2-TI2V-5B, in Wan's own names.

Source: Wan (arXiv:2503.20314); UniAVGen (arXiv:2511.03334), section 3.1.
Dimension key: B batch, C latent channels, T video latents, H and W latent rows and columns, N tokens per latent, D
width, L caption tokens.
"""

from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from ..config import ModelConfig
from ..layers.backend import TORCH, Backend
from ..layers.rope import rotation_3d
from .branch import Block, Head, Stream, embed_times, pad_text, time_embedding, time_projection
from .conditions import Conditions
from .mlp import mlp


class VideoBranch(nn.Module):
    """What of the network is the video branch's own; attribute names are the released checkpoint's keys."""

    config: ModelConfig
    caption_layers = "text_embedding_video"
    """Name of the caption's embedding: in the joint network the speech text has Wan's."""

    def _build_video(self, config: ModelConfig, backend: Backend) -> None:
        ops, video, channels = backend.ops, config.video, config.latent_channels
        patch = (1, config.patch_size, config.patch_size)
        self.patch_embedding = ops.Conv3d(channels, video.dim, kernel_size=patch, stride=patch)
        self.add_module(self.caption_layers, mlp(config.text.caption_dim, video.dim, backend))
        self.time_embedding = time_embedding(config.time_dim, video.dim, backend)
        self.time_projection = time_projection(video.dim, backend)
        self.blocks = nn.ModuleList(Block(video, backend) for _ in range(config.num_layers))
        self.head = Head(video.dim, channels * config.patch_size**2, backend)

    def _embed_video(self, video: Tensor, times: Tensor, conditions: Conditions) -> tuple[Stream, int]:
        """Embed latents (B, C, T, H, W) of times (B, T), the reference first; gives its number of tokens too."""
        image = conditions.reference_image
        if image is None:
            return self._video_stream(video, times, conditions.caption), 0
        times = torch.cat((torch.zeros_like(times[:, :1]), times), dim=1)
        stream = self._video_stream(torch.cat((image, video), dim=2), times, conditions.caption)
        return stream, image.shape[-1] * image.shape[-2] // self.config.patch_size**2

    def _video_stream(self, video: Tensor, times: Tensor, caption: Tensor) -> Stream:
        patches = self.patch_embedding(video)
        temb, modulation = embed_times(
            times, self.config.time_dim, self.time_embedding, self.time_projection, video.dtype
        )
        positions = torch.arange(patches.shape[2], device=video.device)
        return Stream(
            tokens=rearrange(patches, "b d t h w -> b (t h w) d").contiguous(),
            temb=temb,
            modulation=modulation,
            rotation=rotation_3d(positions, *patches.shape[3:], self.config.video.head_dim),
            text=self._read_caption(caption),
        )

    def _read_caption(self, caption: Tensor) -> Tensor:
        """Text tokens of a caption (B, L, caption_dim), which is cut or filled to the model's length."""
        return self.text_embedding_video(pad_text(caption, self.config.text.caption_length))

    def _read_video(self, stream: Stream, reference: int, shape: torch.Size) -> Tensor:
        """Velocities of the latents, of this shape, after the reference's tokens."""
        size = self.config.patch_size
        patches = self.head(stream.tokens, stream.temb)[:, reference:]
        rows, columns = shape[3] // size, shape[4] // size
        return rearrange(
            patches, "b (t h w) (p q c) -> b c t (h p) (w q)", h=rows, w=columns, p=size, q=size, t=shape[2]
        )


class VideoModel(VideoBranch):
    """The video branch alone: a noisy picture in, its velocity out."""

    caption_layers = "text_embedding"

    def __init__(self, config: ModelConfig, backend: Backend = TORCH) -> None:
        super().__init__()
        self.config = config
        self._build_video(config, backend)

    def forward(self, video: Tensor, timesteps: Tensor, conditions: Conditions, options: Any = None) -> Tensor:
        """Predict the velocity of the picture.

        Args:
            video: Noisy latents with kept ones written in, (B, C, T, H, W); H and W multiples of the patch size.
            timesteps: Time of every latent, (B, T); 0..1000, 0 for clean.
            conditions: Caption, reference image, and which layer is left out.
            options: Data of the host, handed to every attention call.

        Returns:
            Velocity, noise minus clean, shape of ``video``.
        """
        stream, reference = self._embed_video(video, timesteps, conditions)
        for layer in range(self.config.num_layers):
            if layer != conditions.skipped_layer:
                stream = self.run_layer(layer, stream, options)
        return self._read_video(stream, reference, video.shape)

    def run_layer(self, layer: int, stream: Stream, options: Any = None) -> Stream:
        """Run one block."""
        return stream.with_tokens(self.blocks[layer](stream, options))

    def _read_caption(self, caption: Tensor) -> Tensor:
        """Text tokens of a caption; longer ones than the model's length are read whole, as ComfyUI's Wan does."""
        return self.text_embedding(pad_text(caption, max(self.config.text.caption_length, caption.shape[1])))
