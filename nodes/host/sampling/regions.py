"""Regions of the picture that are generated while the rest of their latents is kept.

A network that does better so gets the surroundings clean, with a time of 0 for each of their tokens. For any other,
they are noised to the level of each step, and put back clean into each prediction; the first latent then stays
as it is, because networks get the first picture clean in every task, and do worse without it.
Source: blended diffusion, arXiv:2111.14818.
Dimension key: B batch, T latent frames, H and W latent rows and columns.
"""

from collections.abc import Callable, Sequence
from typing import Any

import comfy.utils
import torch
import torch.nn.functional as F
from comfy.patcher_extension import WrappersMP, add_wrapper_with_key
from torch import Tensor

from ..conditioning.pass_settings import KEY, REGIONS_KEY, Surroundings, pass_settings_of
from .joint_latent import keeps_regions


def prepare_regions(guider: Any, noise: Tensor, latent: Tensor, mask: Tensor, shapes: Sequence[tuple]) -> Tensor:
    """Let a guider keep what is around the regions of a mask, for the run that it is about to begin.

    Args:
        guider: ComfyUI's guider, of a joint model.
        noise: Noise of the run, packed like the latent.
        latent: What is kept, clean.
        mask: 1 where generated; has a region in every video latent over which it varies.
        shapes: Shapes of the latent's parts, video first.

    Returns:
        The mask to sample with; the same one if it has no regions.
    """
    video, *others = comfy.utils.unpack_latents(mask, shapes)
    has_region = keeps_regions(video)
    if not has_region.any():
        return mask
    model = guider.model_patcher.model
    video = whole_tokens(video, model.diffusion_model.config.patch_size)
    conditionings = [entry for entries in guider.conds.values() for entry in entries or ()]
    if not _blends(conditionings, model):
        for entry in conditionings:
            entry[REGIONS_KEY] = True
        return _packed(video, others)
    video = torch.cat([torch.where(has_region[:, :, :1], 0.0, video[:, :, :1]), video[:, :, 1:]], 2)
    has_region = keeps_regions(video)
    region = _packed(torch.where(has_region, video, 1.0), [torch.ones_like(part) for part in others])
    add_wrapper_with_key(
        WrappersMP.PREDICT_NOISE, KEY, _blending(noise, latent, region), guider.model_options, is_model_options=True
    )
    return _packed(torch.where(has_region, 1.0, video), others)


def whole_tokens(mask: Tensor, patch_size: int) -> Tensor:
    """Mask (B, C, T, H, W) with all latent pixels of a token as its least kept one: a token has one time."""
    if patch_size == 1:
        return mask
    small = F.max_pool2d(mask.flatten(0, 1), patch_size).unflatten(0, mask.shape[:2])
    return small.repeat_interleave(patch_size, 3).repeat_interleave(patch_size, 4)


def _blends(conditionings: list[dict], model: Any) -> bool:
    """True if what is kept around regions is blended into every step."""
    chosen = {pass_settings_of(entry).surroundings for entry in conditionings} - {Surroundings.AUTO}
    if chosen:
        return Surroundings.BLENDED in chosen
    return not (model.model_config.clips and model.model_config.clips.regions)


def _packed(video: Tensor, others: list[Tensor]) -> Tensor:
    return comfy.utils.pack_latents([video, *others])[0]


def _blending(noise: Tensor, latent: Tensor, region: Tensor) -> Callable:
    """A wrapper of ComfyUI's PREDICT_NOISE type."""
    parts = [noise, latent, region]

    def predict(execute: Any, x: Tensor, timestep: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        parts[:] = [part.to(x) for part in parts]  # moved to the sampler's device in the first step alone
        own_noise, clean, weight = parts
        noised = execute.class_obj.inner_model.model_sampling.noise_scaling(timestep, own_noise, clean)
        return torch.lerp(clean, execute(torch.lerp(noised, x, weight), timestep, *args, **kwargs), weight)

    return predict
