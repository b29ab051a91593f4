"""Noise levels of the sampling presets."""

from types import SimpleNamespace

import comfy.model_sampling
import comfy.samplers
from torch import Tensor

from ....uniavgen_core.diffusion.sampling_presets import SamplingPreset, Schedule
from ....uniavgen_core.diffusion.schedule import TIMESTEPS, release_sigmas


def preset_sigmas(preset: SamplingPreset) -> Tensor:
    """Falling noise levels of a preset, (steps + 1,)."""
    if preset.schedule is Schedule.RELEASE:
        return release_sigmas(preset.steps, preset.shift)
    settings = SimpleNamespace(sampling_settings={"shift": preset.shift, "multiplier": TIMESTEPS})
    flow = comfy.model_sampling.ModelSamplingDiscreteFlow(settings)
    return comfy.samplers.calculate_sigmas(flow, preset.schedule.value, preset.steps)
