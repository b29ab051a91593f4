"""Modality-aware guidance under ComfyUI's samplers.

A patched MODEL rewrites the negative conditioning when sampling starts, because only then the steps are known: one
half, with the interactions off, covers the first share of the steps, the other the rest. Both are plain conditionings
with a range of noise levels, so samplers, batching and the multi-GPU split see nothing unusual.
"""

from collections.abc import Callable
from math import prod
from typing import Any
from uuid import uuid4

import comfy.model_patcher
import comfy.patcher_extension
import comfy.samplers
import torch
from torch import Tensor

from ....uniavgen_core.config import GuidanceConfig, Interaction
from ....uniavgen_core.diffusion.guidance import guide
from ....uniavgen_core.diffusion.schedule import boundary_sigma
from ..conditioning.pass_settings import KEY, REFERENCE_KEYS, pass_settings_of
from ..model.load_model import require_uniavgen

WRAPPER = "uniavgen_guidance"
OUTER_SAMPLE = comfy.patcher_extension.WrappersMP.OUTER_SAMPLE


def patch_guidance(model: comfy.model_patcher.ModelPatcher, config: GuidanceConfig) -> comfy.model_patcher.ModelPatcher:
    """Copy of a MODEL that any sampler guides by ``config``; the sampler's own cfg no longer counts.

    Raises:
        ValueError: If the MODEL is not UniAVGen.
    """
    require_uniavgen(model)
    patched = model.clone()
    patched.remove_wrappers_with_key(OUTER_SAMPLE, WRAPPER)
    patched.add_wrapper_with_key(OUTER_SAMPLE, WRAPPER, _GuidedSampling(config))
    return patched


def make_guider(
    model: comfy.model_patcher.ModelPatcher, positive: list, negative: list, config: GuidanceConfig
) -> comfy.samplers.CFGGuider:
    """GUIDER that guides by ``config``."""
    guider = comfy.samplers.CFGGuider(patch_guidance(model, config))
    guider.set_conds(positive, negative)
    return guider


def null_halves(positive: dict, negative: dict, config: GuidanceConfig, boundary: float) -> list[dict]:
    """The two null conditionings of a run.

    Args:
        positive: Conditioning whose references and null speech the null passes keep.
        negative: Conditioning with the null caption.
        config: Guidance.
        boundary: Noise level that parts the halves.

    Returns:
        Conditionings for noise levels above and below the boundary; only the first if later steps are not guided.
    """
    run = pass_settings_of(positive)
    null = {key: positive[key] for key in REFERENCE_KEYS if key in positive} | negative

    def half(interaction: Interaction) -> dict:
        null_pass = run.as_null(interaction, config.skipped_layer)
        # Caches of other nodes tell conditionings apart by their uuid.
        return {**null, "model_conds": {}, "uuid": uuid4(), KEY: null_pass}

    halves = [{**half(Interaction.OFF), "timestep_end": boundary}]
    if config.text_guidance_after:
        halves.append({**half(run.late_null or run.interaction), "timestep_start": boundary})
    return halves


class _GuidedSampling:
    """Wrapper of ComfyUI's OUTER_SAMPLE kind that puts the null halves and the scales in place for one run."""

    def __init__(self, config: GuidanceConfig) -> None:
        self.config = config
        self._guides = config.video_scale != 1 or config.audio_scale != 1

    def __call__(
        self, execute: Callable, noise: Tensor, latent_image: Tensor, sampler: Any, sigmas: Tensor, *args, **kw
    ):
        guider = execute.class_obj
        boundary = boundary_sigma(sigmas, self.config.steps_without_interaction(len(sigmas) - 1))
        self._set_conditions(guider, boundary)
        self._set_scales(guider, kw["latent_shapes"], boundary)
        return execute(noise, latent_image, sampler, sigmas, *args, **kw)

    def _set_conditions(self, guider: comfy.samplers.CFGGuider, boundary: float) -> None:
        positive, negative = guider.conds.get("positive"), guider.conds.get("negative")
        if not positive or not negative:
            raise ValueError(
                "UniAVGen guidance needs a positive and a negative conditioning; this guider gives only one. Use "
                "'UniAVGen Guider', or a CFG guider with an empty caption as the negative."
            )
        halves = [half for entry in negative for half in null_halves(positive[0], entry, self.config, boundary)]
        guider.conds["negative"] = halves if self._guides else []

    def _set_scales(self, guider: comfy.samplers.CFGGuider, shapes: list, boundary: float) -> None:
        scales = (self.config.video_scale, self.config.audio_scale)[: len(shapes)]
        sizes = [prod(shape[1:]) for shape in shapes]

        def combine(args: dict) -> Tensor:
            guided = self._guides and (self.config.text_guidance_after or float(args["sigma"].max()) >= boundary)
            if not guided:
                return args["cond"]
            # Latents lie in one row, or, where there is no sound, in their own five axes.
            cond, null = (args[name].flatten(1).split(sizes, dim=1) for name in ("cond", "uncond"))
            guided_parts = [guide(*parts) for parts in zip(cond, null, scales, strict=True)]
            return torch.cat(guided_parts, dim=1).view_as(args["cond"])

        options = comfy.model_patcher.create_model_options_clone(guider.model_options)
        options["sampler_cfg_function"] = combine
        options["disable_cfg1_optimization"] = True
        guider.model_options = options
