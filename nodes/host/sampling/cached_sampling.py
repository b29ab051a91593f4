"""The step cache under ComfyUI's samplers: a wrapper around the network that skips calls."""

from collections.abc import Callable
from functools import partial
from typing import Any

import comfy.model_patcher
import comfy.patcher_extension
from torch import Tensor

from ....uniavgen_core.diffusion.step_cache import StepCache, StepCacheConfig
from ..model.load_model import require_both_branches
from ..notices import announce

KEY = "uniavgen_step_cache"
WRAPPERS = comfy.patcher_extension.WrappersMP


def patch_step_cache(
    model: comfy.model_patcher.ModelPatcher, thresholds: tuple[float, float], start_percent: float, end_percent: float
) -> comfy.model_patcher.ModelPatcher:
    """Copy of a MODEL with a step cache, which replaces an earlier one.

    Args:
        model: The MODEL.
        thresholds: See ``StepCacheConfig``.
        start_percent: Share of the schedule after which reuse begins.
        end_percent: Share of the schedule at which it ends.

    Raises:
        ValueError: If the MODEL is not UniAVGen, a threshold is negative, or the end lies before the start.
    """
    require_both_branches(model, "UniAVGen Step Cache")
    sampling: Any = model.get_model_object("model_sampling")
    start_sigma, end_sigma = (float(sampling.percent_to_sigma(percent)) for percent in (start_percent, end_percent))
    config = StepCacheConfig(thresholds, start_sigma, end_sigma)
    patched = model.clone()
    sample = partial(_sample_cached, config)
    for kind, wrapper in ((WRAPPERS.OUTER_SAMPLE, sample), (WRAPPERS.DIFFUSION_MODEL, cached_call)):
        patched.remove_wrappers_with_key(kind, KEY)
        patched.add_wrapper_with_key(kind, KEY, wrapper)
    return patched


def _sample_cached(config: StepCacheConfig, execute: Any, *args: Any, **kw: Any) -> Tensor:
    """Wrapper of a sampling run that gives it a cache of its own and announces the saved calls."""
    guider, cache = execute.class_obj, StepCache(config)
    options = comfy.model_patcher.create_model_options_clone(guider.model_options)
    options.setdefault("transformer_options", {})[KEY] = cache
    guider.model_options = options
    result = execute(*args, **kw)
    announce(f"The step cache saved {cache.skipped} of {cache.calls} calls of the network.")
    return result


def cached_call(execute: Callable, x: list[Tensor], timestep: Any, *args: Any, **kw: Any) -> list[Tensor]:
    """Wrapper of one call of the network, which may be skipped; see ``HostJointModel.forward``."""
    options = kw["transformer_options"]
    cache = options.get(KEY)
    if cache is None:  # not within a sampling run
        return execute(x, timestep, *args, **kw)
    window = options.get("context_window")
    # A pass is the same one from step to step if it has the same conditionings and covers the same window of the clip.
    key = (tuple(options["uuids"]), tuple(window.index_list) if window else None, tuple(part.shape for part in x))
    weights = (kw.get("denoise_mask"), kw.get("audio_denoise_mask"))
    sigma = float(options["sigmas"].max())
    velocity = cache.velocity(key, tuple(x), sigma, weights, lambda: tuple(execute(x, timestep, *args, **kw)))
    return list(velocity)
