"""Files of video VAEs: the bundled one, Wan2.2's, and tiny ones for drafts, checked before anything is built."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import comfy.ldm.wan.vae2_2
import comfy.sd
import comfy.taesd.taehv
from torch import Tensor, nn

from ....uniavgen_core.bundled.video_codec import VideoCodec
from ....uniavgen_core.checkpoint.checked_files import CheckpointError, naming, shown
from ....uniavgen_core.checkpoint.weight_fit import check_fit
from ....uniavgen_core.layers.uninitialized import uninitialized
from ....uniavgen_core.shapes import LATENT_CHANNELS
from ..model.fill_weights import check_all_finite, read_weight_file
from .tiny_video_vae import RAW_NAME, is_tiny, tiny_kind
from .vaes import BundledVideoVAE, NormalizedVideoVAE

BUNDLED_MARK = "latent_std"
WAN_FILES = "the release's Wan2.2_VAE.pth, or ComfyUI's wan2.2_vae.safetensors"
WAN_MARK, WAN21_MARK = "decoder.upsamples.0.upsamples.0.residual.2.weight", "decoder.middle.0.residual.0.gamma"
"""Tensors by which ComfyUI knows the VAEs of Wan2.2 and, without the first, of Wan2.1."""
WAN21_CHANNELS = 16
WAN_SIZES: dict[str, Any] = {
    "dim": 160, "z_dim": LATENT_CHANNELS, "dim_mult": [1, 2, 4, 4], "num_res_blocks": 2, "attn_scales": [],
    "temperal_downsample": [False, True, True], "dropout": 0.0,
}  # fmt: skip
"""Arguments with which ComfyUI builds the VAE of Wan2.2."""
TINY_NEEDED = f"UniAVGen needs a tiny autoencoder of Wan2.2, such as {RAW_NAME}."


def load_video_vae(path: str) -> comfy.sd.VAE:
    """Load a video VAE file: the bundled one, Wan2.2's VAE, or a tiny autoencoder of its latents.

    Raises:
        ValueError: If the file is damaged, would run code, or holds none of these.
    """
    file = Path(path)
    tensors, metadata = read_weight_file(file)
    with naming(file):
        check_all_finite(tensors, file.name)
        if BUNDLED_MARK in tensors:
            _check_tensors(VideoCodec, tensors)
            return BundledVideoVAE(tensors)
        if is_tiny(file.name):
            _check_tensors(lambda: comfy.taesd.taehv.TAEHV(LATENT_CHANNELS), tensors, TINY_NEEDED)
            return tiny_kind(file.name)(sd=tensors)
        _check_wan(tensors)
        return NormalizedVideoVAE(sd=tensors, metadata=metadata)


def _check_wan(tensors: dict[str, Tensor]) -> None:
    """Refuse what is not Wan2.2's VAE, or only a part of it."""
    needed = f"UniAVGen needs the Wan2.2 VAE: {WAN_FILES}."
    if WAN21_MARK in tensors and WAN_MARK not in tensors:
        raise CheckpointError(f"This is a VAE of {WAN21_CHANNELS} latent channels, not {LATENT_CHANNELS}. {needed}")
    if WAN_MARK not in tensors:
        raise CheckpointError(f"It holds no VAE that can be used here. {needed}")
    _check_tensors(lambda: comfy.ldm.wan.vae2_2.WanVAE(**WAN_SIZES), tensors, needed)


def _check_tensors(make: Callable[[], nn.Module], tensors: dict[str, Tensor], needed: str = "") -> None:
    """Refuse tensors that do not fit a network; ``needed`` ends the message."""
    with uninitialized():
        network = make()
    try:
        check_fit(
            {name: tensor.shape for name, tensor in tensors.items()},
            {name: tensor.shape for name, tensor in network.state_dict().items()},
        )
    except CheckpointError as error:
        raise CheckpointError(f"{error} {needed}".rstrip()) from error
    for name, tensor in tensors.items():
        if not tensor.dtype.is_floating_point:
            raise CheckpointError(f"{shown(name)} is {tensor.dtype}, not floating point. Get the file again.")
