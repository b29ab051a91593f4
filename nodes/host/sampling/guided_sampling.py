"""Modality-aware guidance under ComfyUI's samplers.

A patched MODEL rewrites the negative conditioning when sampling starts, because the noise levels are known only then:
one null conditioning, with the interactions off, covers the modality-aware share of the steps, the other the rest. Both
are plain conditionings with a range of noise levels, so samplers, batching and the multi-GPU split see nothing unusual.
"""

from functools import partial
from math import prod
from typing import Any
from uuid import uuid4

import comfy.model_patcher
import comfy.patcher_extension
import comfy.samplers
import torch
from torch import Tensor

from ....uniavgen_core.config import AfterShare, GuidanceConfig, Interaction
from ....uniavgen_core.diffusion.guidance import GuidancePlan, NullPass, guide
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
    patched.add_wrapper_with_key(OUTER_SAMPLE, WRAPPER, partial(_sample_guided, config))
    return patched


def make_guider(
    model: comfy.model_patcher.ModelPatcher, positive: list, negative: list, config: GuidanceConfig
) -> comfy.samplers.CFGGuider:
    """GUIDER that guides by ``config``."""
    guider = comfy.samplers.CFGGuider(patch_guidance(model, config))
    guider.set_conds(positive, negative)
    return guider


def null_conditionings(positive: dict, negative: dict, plan: GuidancePlan) -> list[dict]:
    """Null conditionings of a run, each for the noise levels at which ``plan`` compares with it.

    Args:
        positive: Conditioning whose references and null speech the null passes keep.
        negative: Conditioning with the null caption.
        plan: Guidance of the run.

    Returns:
        Conditionings for noise levels above and below the plan's boundary; only the first if later steps are not
        guided, none if no step is.
    """
    if not plan.guides:
        return []
    run = pass_settings_of(positive)
    null = {key: positive[key] for key in REFERENCE_KEYS if key in positive} | negative

    def conditioning(interaction: Interaction) -> dict:
        null_pass = run.as_null(interaction, plan.config.skip_layer)
        # Caches of other nodes tell conditionings apart by their uuid.
        return {**null, "model_conds": {}, "uuid": uuid4(), KEY: null_pass}

    conditionings = [{**conditioning(Interaction.OFF), "timestep_end": plan.boundary}]
    if plan.config.after_share is AfterShare.TEXT_CFG:
        conditionings.append({**conditioning(run.late_null or run.interaction), "timestep_start": plan.boundary})
    return conditionings


def _sample_guided(
    config: GuidanceConfig, execute: Any, noise: Tensor, latent: Tensor, sampler: Any, sigmas: Tensor, *args, **kw
) -> Tensor:
    """Wrapper of ComfyUI's OUTER_SAMPLE kind that puts the null conditionings and the scales in place for one run."""
    plan = GuidancePlan.of(config, sigmas)
    _set_conditions(execute.class_obj, plan)
    _set_scales(execute.class_obj, kw["latent_shapes"], plan)
    return execute(noise, latent, sampler, sigmas, *args, **kw)


def _set_conditions(guider: comfy.samplers.CFGGuider, plan: GuidancePlan) -> None:
    positive, negative = guider.conds.get("positive"), guider.conds.get("negative")
    if not positive or not negative:
        raise ValueError(
            "UniAVGen guidance needs a positive and a negative conditioning; this guider gives only one. Use "
            "'UniAVGen Guider', or a CFG guider with an empty caption as the negative."
        )
    guider.conds["negative"] = [null for entry in negative for null in null_conditionings(positive[0], entry, plan)]


def _set_scales(guider: comfy.samplers.CFGGuider, shapes: list, plan: GuidancePlan) -> None:
    scales = (plan.config.video_scale, plan.config.audio_scale)[: len(shapes)]
    sizes = [prod(shape[1:]) for shape in shapes]

    def combine(args: dict) -> Tensor:
        if plan.null_pass(float(args["sigma"].max())) is NullPass.NONE:
            return args["cond"]
        # Joint latents are packed into one row; a plain video latent still has its five axes.
        cond, null = (args[name].flatten(1).split(sizes, dim=1) for name in ("cond", "uncond"))
        guided_parts = [guide(*parts) for parts in zip(cond, null, scales, strict=True)]
        return torch.cat(guided_parts, dim=1).view_as(args["cond"])

    options = comfy.model_patcher.create_model_options_clone(guider.model_options)
    options["sampler_cfg_function"] = combine
    options["disable_cfg1_optimization"] = True
    guider.model_options = options
