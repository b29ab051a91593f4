"""What is kept around a generated region, blended into every step.

A network that was trained for it gets the surroundings clean, with a time of 0 for each of their tokens. For any
other, they are noised to the level of each step, and put back clean into each prediction.
Source: blended diffusion, arXiv:2111.14818.
"""

from collections.abc import Callable, Sequence
from typing import Any

import comfy.utils
import torch
from comfy.patcher_extension import WrappersMP, add_wrapper_with_key
from torch import Tensor

from ..conditioning.pass_settings import KEY


def blend_surroundings(guider: Any, noise: Tensor, latent: Tensor, mask: Tensor, shapes: Sequence[tuple]) -> Tensor:
    """Let a guider blend what is around the regions of a mask, for the run that it is about to begin.

    Args:
        guider: ComfyUI's guider.
        noise: Noise of the run, packed or plain like the latent.
        latent: What is kept, clean.
        mask: 1 where generated; has a region in every video latent over which it varies.
        shapes: Shapes of the latent's parts.

    Returns:
        The mask with such latents generated whole; the same one if there are none.
    """
    parts = comfy.utils.unpack_latents(mask, shapes) if len(shapes) > 1 else [mask]
    has_region = parts[0].amax((3, 4), keepdim=True) != parts[0].amin((3, 4), keepdim=True)
    if not has_region.any():
        return mask
    region = _packed([torch.where(has_region, parts[0], 1.0), *map(torch.ones_like, parts[1:])])
    add_wrapper_with_key(
        WrappersMP.PREDICT_NOISE, KEY, _blending(noise, latent, region), guider.model_options, is_model_options=True
    )
    return _packed([torch.where(has_region, 1.0, parts[0]), *parts[1:]])


def _packed(parts: list[Tensor]) -> Tensor:
    return comfy.utils.pack_latents(parts)[0] if len(parts) > 1 else parts[0]


def _blending(noise: Tensor, latent: Tensor, region: Tensor) -> Callable:
    """A wrapper of ComfyUI's PREDICT_NOISE type."""

    def predict(execute: Any, x: Tensor, timestep: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        own_noise, clean, weight = (value.to(x) for value in (noise, latent, region))
        noised = execute.class_obj.inner_model.model_sampling.noise_scaling(timestep, own_noise, clean)
        return torch.lerp(clean, execute(torch.lerp(noised, x, weight), timestep, *args, **kwargs), weight)

    return predict
