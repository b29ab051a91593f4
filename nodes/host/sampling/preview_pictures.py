"""Pictures of previews: frames from a small decoder where there is one, otherwise the latents' approximate colours.

The bundled model's own video VAE is small enough. For the released model ComfyUI's option ``--preview-method taesd``
asks for a tiny autoencoder in the folder vae_approx.
Dimension key: F video frames, T video latents, H and W rows and columns of latents or pixels.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any

import comfy.latent_formats
import latent_preview
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from ....uniavgen_core.bundled.bundled_files import load_codec
from ....uniavgen_core.shapes import TEMPORAL_FACTOR
from ..media.tiny_video_vae import TINY_FOLDER, tiny_names
from ..media.video_vae_files import load_video_vae
from ..model_folders import path_of
from .own_preset import is_bundled

MOST_PICTURES, MOST_ROWS = 96, 192

Decode = Callable[[Tensor], Tensor]
"""Function from a normalised video latent (1, 48, T, H, W) to its frames in [0, 1], (F, 3, 16 H, 16 W)."""


@dataclass(frozen=True)
class Strip:
    """Pictures of a clip, side by side.

    Attributes:
        image: The pictures.
        count: Their number.
        frames_per_picture: Frames that each of them stands for; the first stands for one.
    """

    image: Image.Image
    count: int
    frames_per_picture: int


@dataclass(frozen=True)
class PreviewPictures:
    """Draws video latents.

    Attributes:
        latent_format: Has the RGB factors of the latents' channels.
        decode: Small decoder; None to draw approximate colours.
    """

    latent_format: comfy.latent_formats.LatentFormat
    decode: Decode | None = None

    def strip(self, video: Tensor) -> Strip:
        """Draw a normalised video latent, (1, 48, T, H, W) float32."""
        frames, each = (self._colours(video), TEMPORAL_FACTOR) if self.decode is None else (self.decode(video), 1)
        step = -(-len(frames) // MOST_PICTURES)
        pictures = _no_larger(frames[::step].float().cpu())
        pixels = pictures.clamp(0, 1).mul(255).to(torch.uint8).permute(2, 0, 3, 1).flatten(1, 2)
        return Strip(Image.fromarray(pixels.numpy()), len(pictures), each * step)

    def _colours(self, video: Tensor) -> Tensor:
        """Approximate colours in [0, 1], (T, 3, H, W)."""
        factors = torch.tensor(self.latent_format.latent_rgb_factors)
        bias = torch.tensor(self.latent_format.latent_rgb_factors_bias or [0.0, 0.0, 0.0])
        return ((torch.einsum("cthw,ck->thwk", video[0], factors) + bias + 1) / 2).movedim(-1, 1)


def preview_pictures(model: Any) -> PreviewPictures:
    """Pictures for the previews of a MODEL."""
    latent_format = model.model.latent_format
    if is_bundled(model):
        return PreviewPictures(latent_format, _decode_bundled)
    if latent_preview.args.preview_method == latent_preview.LatentPreviewMethod.TAESD:
        for name in tiny_names():
            return PreviewPictures(latent_format, partial(_decode_tiny, name, model.load_device))
    return PreviewPictures(latent_format)


def _decode_bundled(video: Tensor) -> Tensor:
    return (_bundled_codec().decode(video)[0].movedim(1, 0) + 1) / 2


def _decode_tiny(name: str, device: torch.device, video: Tensor) -> Tensor:
    """Decode by a file in vae_approx, without ComfyUI's memory manager, which would unload what is being sampled."""
    path = path_of(TINY_FOLDER, name)
    if path is None:
        raise FileNotFoundError(f"{name} is no longer in the folder {TINY_FOLDER}.")
    vae = _tiny_vae(path, path.stat().st_mtime_ns, device)
    latent = vae.statistics.process_out(video).to(device, vae.vae_dtype)
    return vae.first_stage_model.decode(latent)[0].movedim(1, 0)


# Both are loaded when the first preview is drawn: a file that cannot be read then costs the preview, not the run.
_bundled_codec = cache(load_codec)


@lru_cache(maxsize=1)
def _tiny_vae(path: Path, changed: int, device: torch.device) -> Any:
    """VAE of a file, loaded again if the file has ``changed``."""
    del changed
    vae: Any = load_video_vae(str(path))
    vae.first_stage_model.to(device, vae.vae_dtype)
    return vae


def _no_larger(pictures: Tensor) -> Tensor:
    """Pictures (N, 3, H, W) of no more rows than a preview shows."""
    rows, columns = pictures.shape[-2:]
    if rows <= MOST_ROWS:
        return pictures
    return interpolate(pictures, (MOST_ROWS, round(columns * MOST_ROWS / rows)), mode="area")
