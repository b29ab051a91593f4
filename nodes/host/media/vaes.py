"""ComfyUI's VAE objects: the bundled video VAE, Wan2.2's, and the audio VAE; encoding of pictures.

Their latents are always normalised, as the joint model expects them.
Dimension key: B batch, F video frames, T video latents, H and W pixel rows and columns, K audio tracks, S mel frames,
N samples.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil
from typing import Any

import comfy.latent_formats
import comfy.model_management
import comfy.model_patcher
import comfy.ops
import comfy.sd
import comfy.utils
import torch
from torch import Tensor, nn

from ....uniavgen_core.bundled.video_codec import CHUNKS_PER_PASS, VideoCodec, decoded_shape
from ....uniavgen_core.media.audio.loudness import under_ceiling
from ....uniavgen_core.media.audio.mel import denormalize_mel, log_mel, normalize_mel, rescale_volume
from ....uniavgen_core.media.audio.sound import mix_down
from ....uniavgen_core.media.video.frames import SHORT_SIDE, Fit, resize_frames
from ....uniavgen_core.shapes import (
    HOP_LENGTH,
    LATENT_CHANNELS,
    SAMPLE_RATE,
    SPATIAL_FACTOR,
    TEMPORAL_FACTOR,
    latent_frames_of,
    video_frames_of,
)
from ..model.comfy_backend import host_backend
from ..notices import announce, interruptible_progress
from .shared_griffin_lim import RESULT_VOCODER
from .vocoder_loader import HostedVocoder

DECODE_BYTES_PER_PIXEL = 900
ENCODE_BYTES_PER_PIXEL = 500
RGB = 3
TILES = (48, 32, 24, 16)
"""Sides of the tiles for decoding, latent rows and columns, largest first; neighbours overlap by a quarter."""


class TiledVideoVAE(comfy.sd.VAE):
    """A VAE that decodes in tiles if the whole picture does not fit into free memory.

    ComfyUI's own VAE tries the whole picture first and changes to small tiles only after memory has run out. Until
    then the driver may spend minutes on moving memory to the host.

    Attributes:
        short_side: Shorter side of the clips that the VAE's model was trained on, pixels.
        trained_sizes: Width and height of those clips, pixels; empty for a model of any aspect ratio.
        seconds: Length of those clips.
        kept_seconds: Length of the end of a clip from which the model continues.
        kept_seconds_with_audio: The same where the sound is given, so that pictures alone are continued.
        latents_per_call: Video latents that the decoder takes at once.
    """

    latents_per_call: int = 1
    short_side: int = SHORT_SIDE
    seconds: float = 5.0625
    kept_seconds: float = 2.3125
    kept_seconds_with_audio: float = 2.3125
    trained_sizes: tuple[tuple[int, int], ...] = ()

    def decode(self, samples_in: Tensor, *args, **kwargs) -> Tensor:
        """Decode latents (B, 48, T, H/16, W/16) to pictures (B, F, H, W, 3) in [0, 1]."""
        tile = self.tile_for(samples_in.shape)
        with self._progress(samples_in.shape, tile):
            if tile is None:
                return super().decode(samples_in, *args, **kwargs)
            side = tile * SPATIAL_FACTOR
            announce(
                "There is not enough free memory to decode whole frames, so they are decoded in tiles of "
                f"{side}x{side}."
            )
            return comfy.sd.VAE.decode_tiled(self, samples_in, tile_x=tile, tile_y=tile, overlap=tile // 4)

    @contextmanager
    def _progress(self, shape: torch.Size, tile: int | None) -> Iterator[None]:
        """Move the progress bar on with every call of the decoder, after which a cancelled run stops."""
        calls = shape[0] * ceil(shape[2] / self.latents_per_call)
        if tile is not None:
            calls *= comfy.utils.get_tiled_scale_steps(shape[4], shape[3], tile, tile, tile // 4)
        step = interruptible_progress(calls)
        network: Any = self.first_stage_model
        hook = network.decoder.register_forward_hook(lambda *_: step())
        try:
            yield
        finally:
            hook.remove()

    def tile_for(self, shape: torch.Size) -> int | None:
        """Side of the tiles for latents of a shape, latent rows; None to decode them whole."""
        needed = self.memory_used_decode(shape, self.vae_dtype)
        # Unload other models first, as the decoder itself would, so that the free memory is what it will have.
        comfy.model_management.load_models_gpu(
            [self.patcher], memory_required=needed, force_full_load=self.disable_offload
        )
        free = self.patcher.get_free_memory(self.device)
        if needed <= free:
            return None
        smaller = [tile for tile in TILES if tile < max(shape[-2:])]
        fitting = [tile for tile in smaller if self._tile_memory(shape, tile) <= free]
        return next(iter([*fitting, *smaller[-1:]]), None)

    def _tile_memory(self, shape: torch.Size, tile: int) -> float:
        return self.memory_used_decode((*shape[:-2], *(min(side, tile) for side in shape[-2:])), self.vae_dtype)


class HostedCodec(VideoCodec):
    """The bundled codec as ComfyUI's VAE runs those that write pictures, pass by pass, to where they are needed."""

    comfy_has_chunked_io = True
    decode_output_shape = staticmethod(decoded_shape)

    @torch.no_grad()
    def decode(self, latent: Tensor, output_buffer: Tensor | None = None) -> Tensor:
        """Decode latents (B, 48, T, h, w) to frames in [-1, 1], (B, 3, F, H, W), in the buffer if there is one."""
        return super().decode(latent, output_buffer)

    def encode(self, frames: Tensor, device: torch.device | None = None) -> Tensor:
        """Encode frames (B, 3, F, H, W) in [-1, 1] on a device to latents (B, 48, T, H/16, W/16)."""
        return super().encode(frames if device is None else frames.to(device))


class BundledVideoVAE(TiledVideoVAE):
    """The bundled video VAE.

    The constructor sets the fields that ComfyUI's VAE methods read, because ComfyUI's own supports other VAEs only.
    """

    short_side = 128
    trained_sizes = ((128, 128), (256, 128))  # one toon, and two
    seconds, kept_seconds = 2.0625, 0.5625
    latents_per_call = CHUNKS_PER_PASS
    kept_seconds_with_audio = 0.3125  # pictures drift less than with more, and lips follow as well: docs/long_videos.md

    def __init__(self, weights: dict[str, Tensor]) -> None:
        management = comfy.model_management
        self.first_stage_model = HostedCodec(backend=host_backend(comfy.ops.manual_cast, torch.float32, None)).eval()
        self.memory_used_encode = lambda shape, _: ENCODE_BYTES_PER_PIXEL * shape[2] * shape[3] * shape[4]
        self.memory_used_decode = lambda shape, _: (
            DECODE_BYTES_PER_PIXEL * video_frames_of(shape[2]) * shape[3] * shape[4] * SPATIAL_FACTOR**2
        )
        self.downscale_ratio = (latent_frames_of, SPATIAL_FACTOR, SPATIAL_FACTOR)
        self.upscale_ratio = (video_frames_of, SPATIAL_FACTOR, SPATIAL_FACTOR)
        self.downscale_index_formula = self.upscale_index_formula = (TEMPORAL_FACTOR, SPATIAL_FACTOR, SPATIAL_FACTOR)
        self.latent_channels, self.latent_dim, self.output_channels = LATENT_CHANNELS, 3, 3
        self.process_input = lambda image: image * 2.0 - 1.0
        self.process_output = lambda image: image.add_(1.0).div_(2.0).clamp_(0.0, 1.0)
        self.working_dtypes = [torch.float32]
        self.pad_channel_value = self.extra_1d_channel = self.format_encoded = self.size = None
        self.not_video = self.handles_tiling = self.disable_offload = False
        self.crop_input = True
        self.device, self.vae_dtype = management.vae_device(), torch.float32
        self.output_device = management.intermediate_device()
        management.archive_model_dtypes(self.first_stage_model)
        self.patcher = comfy.model_patcher.CoreModelPatcher(
            self.first_stage_model, load_device=self.device, offload_device=management.vae_offload_device()
        )
        floats = {name: tensor.float() for name, tensor in weights.items()}
        self.first_stage_model.load_state_dict(floats, assign=self.patcher.is_dynamic())


class NormalizedVideoVAE(TiledVideoVAE):
    """Wan2.2's VAE with normalised latents, as the joint model expects them; those of the stock loader are raw."""

    statistics = comfy.latent_formats.Wan22()

    def encode(self, pixel_samples: Tensor) -> Tensor:
        """Encode pictures (F, H, W, 3) in [0, 1] to normalised latents (1, 48, T, H/16, W/16)."""
        return self.statistics.process_in(super().encode(pixel_samples))

    def encode_tiled(self, *args, **kwargs) -> Tensor:
        return self.statistics.process_in(super().encode_tiled(*args, **kwargs))

    def decode(self, samples_in: Tensor, *args, **kwargs) -> Tensor:
        """Decode normalised latents (B, 48, T, H/16, W/16) to pictures (B, F, H, W, 3) in [0, 1]."""
        return super().decode(self.statistics.process_out(samples_in), *args, **kwargs)

    def decode_tiled(self, samples: Tensor, *args, **kwargs) -> Tensor:
        return super().decode_tiled(self.statistics.process_out(samples), *args, **kwargs)


class AudioVAE(comfy.sd.VAE):
    """VAE between normalised mel and sound, for ``VAE Decode Audio`` and ``VAE Encode Audio`` too.

    The mel is computed and inverted directly, because ComfyUI's batching and tiling would treat it as an image.

    Attributes:
        identity: Identity of the vocoder, equal for VAEs that decode a mel to the same sound.
    """

    def __init__(self, vocoder: HostedVocoder | None = None) -> None:
        self.vocode = (vocoder or RESULT_VOCODER).decode
        self.identity = vocoder.identity if vocoder else ("Griffin-Lim",)
        self.audio_sample_rate = self.audio_sample_rate_output = SAMPLE_RATE
        self.latent_channels, self.latent_dim, self.output_channels = 1, 2, 1
        self.upscale_ratio = self.downscale_ratio = HOP_LENGTH
        self.size = 0
        self.vae_dtype = torch.float32
        self.output_device = comfy.model_management.intermediate_device()
        self.patcher = vocoder.patcher if vocoder else _weightless(self.output_device)
        self.first_stage_model, self.device = self.patcher.model, self.patcher.load_device

    def decode(self, samples_in: Tensor, vae_options: dict | None = None) -> Tensor:
        """Decode normalised mel (B, K, S, 80) to sound (B, N, 1) with peaks below full scale; see ``synthesize``."""
        del vae_options
        return under_ceiling(self.synthesize(samples_in)).movedim(1, -1)

    def synthesize(self, samples_in: Tensor) -> Tensor:
        """Decode normalised mel (B, K, S, 80) to sound (B, 1, N), N = 240 S; the K tracks are mixed.

        The sound has the level of the mel, so its peaks may exceed full scale; apply ``under_ceiling`` before playback.

        Raises:
            ValueError: If the mel is not finite.
        """
        mel = denormalize_mel(samples_in.flatten(0, 1).float().to(self.device)).transpose(1, 2)
        if not torch.isfinite(mel).all():
            raise ValueError(
                "The audio latent holds values that are not finite, so no audio can be made. Lower the guidance, or "
                "load the model in bf16 or fp32 instead of fp16."
            )
        return self.vocode(mel).unflatten(0, samples_in.shape[:2]).sum(dim=1, keepdim=True).to(self.output_device)

    def encode(self, pixel_samples: Tensor) -> Tensor:
        """Encode sound (B, N, channels) at 24 kHz to normalised mel (B, 1, S, 80)."""
        mono = mix_down(pixel_samples.transpose(1, 2).float())
        return normalize_mel(log_mel(rescale_volume(mono))).transpose(1, 2).unsqueeze(1)

    def decode_tiled(self, samples: Tensor, *_, **__) -> Tensor:
        """Decode without tiles: audio needs little memory, and tiles of mel would click at their seams."""
        return self.decode(samples)

    def encode_tiled(self, pixel_samples: Tensor, *_, **__) -> Tensor:
        """Encode without tiles; see ``decode_tiled``."""
        return self.encode(pixel_samples)


def _weightless(device: torch.device) -> comfy.model_patcher.ModelPatcher:
    """Model patcher without weights, because ComfyUI requires one of every VAE."""
    return comfy.model_patcher.ModelPatcher(nn.Module(), load_device=device, offload_device=device)


def encode_pictures(video_vae: Any, pictures: Tensor, size: tuple[int, int], fit: str) -> Tensor:
    """Encode pictures as consecutive frames of a clip.

    Args:
        video_vae: VAE object from 'UniAVGen Load Video VAE'.
        pictures: RGB in [0, 1], (F, H, W, 3).
        size: Width and height of the clip, pixels.
        fit: ``crop`` crops pictures to the clip's aspect ratio before resizing, ``stretch`` resizes them whole.

    Returns:
        Normalised latents, (1, 48, T, H/16, W/16) of the clip's size.

    Raises:
        ValueError: If the pictures do not have three channels.
    """
    if pictures.ndim != 4 or pictures.shape[-1] != RGB:
        channels = pictures.shape[-1] if pictures.ndim else 0
        raise ValueError(
            f"The image has {channels} channels; it must have {RGB} (RGB). Remove its alpha channel, for example with "
            "the node 'Split Image with Alpha', or convert a gray one to RGB."
        )
    return video_vae.encode(resize_frames(pictures, *size, Fit(fit)))
