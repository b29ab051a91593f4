"""Sampling with a guider as in ComfyUI's custom sampler node, and the noise levels of the sampling presets."""

from types import SimpleNamespace
from typing import Any

import comfy.model_management
import comfy.model_sampling
import comfy.sample
import comfy.samplers
import comfy.utils
import torch
from comfy.nested_tensor import NestedTensor
from torch import Tensor

from ....uniavgen_core.diffusion.sampling_presets import SamplingPreset, Schedule
from ....uniavgen_core.diffusion.schedule import TIMESTEPS, release_sigmas
from .joint_latent import masks_of, split
from .live_preview import PICTURES_ONLY, PreviewSettings, live_previews


def preset_sigmas(preset: SamplingPreset) -> Tensor:
    """Falling noise levels of a preset, (steps + 1,)."""
    if preset.schedule is Schedule.RELEASE:
        return release_sigmas(preset.steps, preset.shift)
    settings = SimpleNamespace(sampling_settings={"shift": preset.shift, "multiplier": TIMESTEPS})
    flow = comfy.model_sampling.ModelSamplingDiscreteFlow(settings)
    return comfy.samplers.calculate_sigmas(flow, preset.schedule.value, preset.steps)


def run_sampler(
    guider: comfy.samplers.CFGGuider,
    sampler: Any,
    sigmas: Tensor,
    latent: dict,
    seed: int,
    previews: PreviewSettings = PICTURES_ONLY,
) -> dict:
    """Sample a LATENT.

    Args:
        guider: GUIDER.
        sampler: SAMPLER.
        sigmas: Falling noise levels, (steps + 1,).
        latent: Joint LATENT; parts under a noise mask of 0 are kept.
        seed: Seed of the noise.
        previews: Settings of the live previews.

    Returns:
        Sampled LATENT.

    Raises:
        ValueError: If the latent is not a joint one.
    """
    split(latent)
    samples = latent["samples"]
    with live_previews(guider.model_patcher, len(sigmas) - 1, previews) as (on_step, on_result):
        sampled = guider.sample(
            comfy.sample.prepare_noise(samples, seed, latent.get("batch_index")),
            samples,
            sampler,
            sigmas,
            denoise_mask=latent.get("noise_mask"),
            callback=on_step,
            disable_pbar=not comfy.utils.PROGRESS_BAR_ENABLED,
            seed=seed,
        )
        sampled = _with_kept_parts(sampled, latent)
        on_result(sampled)
    return {**latent, "samples": sampled.to(comfy.model_management.intermediate_device())}


def _with_kept_parts(sampled: NestedTensor, latent: dict) -> NestedTensor:
    """Restore kept parts bit for bit, because the sampler's arithmetic changes their last bits."""
    parts = zip(sampled.unbind(), split(latent), masks_of(latent), strict=True)
    return NestedTensor(
        [torch.where(mask.to(part.device) == 0, original.to(part), part) for part, original, mask in parts]
    )
