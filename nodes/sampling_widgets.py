"""Widgets of everything that samples: guidance, noise schedule and presets, and what their values mean."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..uniavgen_core.config import AfterShare, GuidanceConfig
from ..uniavgen_core.diffusion.sampling_presets import PRESETS, SamplingPreset
from ..uniavgen_core.diffusion.schedule import release_sigmas
from .host.sampling.own_preset import own_preset
from .host.sampling.run_sampler import preset_sigmas
from .sockets import float_input, share_input

AUTO, CUSTOM = "auto", "custom"


def guidance_inputs() -> list[io.Input]:
    """Widgets of ``GuidanceConfig``, one per field."""
    return [
        _scale_input(
            "video_guidance",
            3.0,
            "Guidance scale of the video: how strongly it follows text and audio. 1 is no guidance.",
        ),
        _scale_input(
            "audio_guidance",
            2.0,
            "Guidance scale of the audio: how strongly it follows text and video. 1 is no guidance.",
        ),
        share_input(
            "modality_aware_share",
            0.5,
            "Share of the steps, from the start, with modality-aware guidance: its null pass runs without "
            "cross-modal interaction.",
        ),
        io.Combo.Input(
            "after_share",
            options=[rule.value for rule in AfterShare],
            advanced=True,
            tooltip="Guidance for the remaining steps.",
        ),
        io.Int.Input(
            "skip_layer",
            default=11,
            min=0,
            max=100,
            advanced=True,
            tooltip="Layer skipped in the null pass (skip layer guidance, SLG); 0 for none. Has no effect on models "
            "with fewer layers.",
        ),
    ]


def _scale_input(name: str, default: float, tooltip: str) -> io.Input:
    return float_input(name, default=default, min=0.0, max=20.0, step=0.1, tooltip=tooltip)


def guidance_config(
    video_guidance: float, audio_guidance: float, modality_aware_share: float, after_share: str, skip_layer: int
) -> GuidanceConfig:
    """Read the widgets of ``guidance_inputs``."""
    return GuidanceConfig(
        video_guidance, audio_guidance, modality_aware_share, AfterShare(after_share), skip_layer or None
    )


def schedule_inputs() -> list[io.Input]:
    """Widgets of the noise schedule."""
    return [
        io.Int.Input("steps", default=50, min=1, max=1000, tooltip="Sampling steps. The release uses 50."),
        float_input(
            "shift",
            default=5.0,
            min=0.1,
            max=100.0,
            step=0.1,
            advanced=True,
            tooltip="Shifts the steps towards high noise. The release uses 5.",
        ),
    ]


def preset_input() -> io.Input:
    """Widget for the preset of a node that has all settings."""
    return _preset_input(
        _replaced_widgets(),
        "auto: settings that suit the model. custom: the widgets below, guidance included. Others: fixed settings.",
    )


def automatic_input(replaced: Iterable[io.Input]) -> io.Input:
    """Widget of a node that has a part of the settings: ``AUTO``, or ``CUSTOM`` for the widgets in ``replaced``."""
    tooltip = "auto: settings that suit the model. custom: the widgets below."
    return _preset_input({AUTO: [widget.id for widget in replaced]}, tooltip)


def _preset_input(replaced: dict[str, list[str]], tooltip: str) -> io.Input:
    """Choice of ``CUSTOM`` and the presets in ``replaced``, whose widgets ``web/presets.js`` greys out."""
    options = [AUTO, CUSTOM, *(name for name in replaced if name != AUTO)]
    extra = {"uniavgen_replaced": replaced}
    return io.Combo.Input("preset", options=options, default=AUTO, tooltip=tooltip, extra_dict=extra)


def _replaced_widgets() -> dict[str, list[str]]:
    """Names of the widgets that each preset replaces."""
    sampling, guidance = ["steps", "shift", "sampler_name"], [widget.id for widget in guidance_inputs()]
    brings_guidance = {AUTO: True} | {name: preset.guidance is not None for name, preset in PRESETS.items()}
    return {name: [*sampling, *(guidance if is_brought else [])] for name, is_brought in brings_guidance.items()}


@dataclass(frozen=True)
class SamplerSettings:
    """ComfyUI's name of a sampler, and falling noise levels (steps + 1,)."""

    sampler_name: str
    sigmas: Tensor


def find_preset(name: str, model: Any) -> SamplingPreset | None:
    """The preset of a name; None for ``CUSTOM``.

    Args:
        name: Value of ``preset_input`` or ``automatic_input``.
        model: MODEL, which decides what ``AUTO`` means.
    """
    return own_preset(model) if name == AUTO else PRESETS.get(name)


def choose_guidance(preset: SamplingPreset | None, **widgets: Any) -> GuidanceConfig:
    """Guidance of a preset that has its own, else that of the widgets of ``guidance_inputs``."""
    return guidance_config(**widgets) if preset is None or preset.guidance is None else preset.guidance


def choose_sigmas(preset: SamplingPreset | None, steps: int, shift: float) -> Tensor:
    """Falling noise levels of a preset, or of the widgets without one, (steps + 1,)."""
    return release_sigmas(steps, shift) if preset is None else preset_sigmas(preset)


def choose_sampler(preset: SamplingPreset | None, steps: int, shift: float, sampler_name: str) -> SamplerSettings:
    """Sampler and noise levels of a preset, or of the widgets without one."""
    return SamplerSettings(sampler_name if preset is None else preset.sampler, choose_sigmas(preset, steps, shift))
