"""Sampling with modality-aware guidance: one node for all of it, or a node for each part; and the step cache."""

from dataclasses import dataclass
from typing import Any

import comfy.samplers
from comfy_api.latest import io
from torch import Tensor

from ..uniavgen_core.config import AfterShare, GuidanceConfig
from ..uniavgen_core.diffusion.sampling_presets import PRESETS
from ..uniavgen_core.diffusion.schedule import release_sigmas
from .host.notices import with_notices
from .host.sampling.cached_sampling import patch_step_cache
from .host.sampling.guided_sampling import make_guider, patch_guidance
from .host.sampling.live_preview import DEFAULT_EVERY, PreviewSettings
from .host.sampling.run_sampler import preset_sigmas, run_sampler
from .sockets import float_input, seed_input, share_input

CUSTOM = "custom"
AFTER_SHARE = {"text guidance (release)": AfterShare.TEXT_CFG, "no guidance (paper)": AfterShare.NONE}


def guidance_inputs() -> list[io.Input]:
    """Widgets of ``GuidanceConfig``, one per field."""
    return [
        _scale_input("video_guidance", 3.0, "How strongly picture follows text and sound."),
        _scale_input("audio_guidance", 2.0, "How strongly sound follows text and picture."),
        share_input(
            "share",
            0.5,
            "Share of the steps, from the start, guided by switching the interaction of picture and sound off.",
        ),
        io.Combo.Input(
            "afterwards", options=list(AFTER_SHARE), advanced=True, tooltip="What guides the steps after that share."
        ),
        io.Int.Input(
            "skipped_layer",
            default=11,
            min=0,
            max=100,
            advanced=True,
            tooltip="Layer left out of the null pass; 0 for none. Without effect on models with fewer layers.",
        ),
    ]


def _scale_input(name: str, default: float, tooltip: str) -> io.Input:
    return float_input(name, default=default, min=0.0, max=20.0, step=0.1, tooltip=tooltip)


def guidance_config(
    video_guidance: float, audio_guidance: float, share: float, afterwards: str, skipped_layer: int
) -> GuidanceConfig:
    """Read the widgets of ``guidance_inputs``."""
    return GuidanceConfig(video_guidance, audio_guidance, share, AFTER_SHARE[afterwards], skipped_layer or None)


def schedule_inputs() -> list[io.Input]:
    """Widgets of the noise schedule."""
    return [
        io.Int.Input("steps", default=50, min=1, max=1000, tooltip="Sampling steps; the release uses 50."),
        float_input(
            "shift",
            default=5.0,
            min=0.1,
            max=100.0,
            step=0.1,
            advanced=True,
            tooltip="Shifts steps towards high noise; the release uses 5.",
        ),
    ]


def preset_input(replaces: str) -> io.Input:
    """Widget for the preset.

    It comes after all widgets that a node had first, and new ones follow it, because saved graphs hold the values of
    widgets by their order. ``replaces`` names the widgets that a preset overrides, for the tooltip.
    """
    presets = "; ".join(f"{name}, {preset.in_words}" for name, preset in PRESETS.items())
    return io.Combo.Input(
        "preset",
        options=[CUSTOM, *PRESETS],
        default=CUSTOM,
        optional=True,
        tooltip=f"'{CUSTOM}' takes {replaces} from the widgets above; a preset takes their place: {presets}.",
    )


@dataclass(frozen=True)
class SamplerSettings:
    """ComfyUI's name of a sampler, falling noise levels (steps + 1,), and notices for the user."""

    sampler_name: str
    sigmas: Tensor
    notices: list[str]


def choose_guidance(preset: str, **widgets: Any) -> GuidanceConfig:
    """Guidance of a preset that has its own, else that of the widgets of ``guidance_inputs``."""
    values = PRESETS.get(preset)
    return guidance_config(**widgets) if values is None or values.guidance is None else values.guidance


def choose_sampler(preset: str, steps: int, shift: float, sampler_name: str) -> SamplerSettings:
    """Sampler and noise levels of a preset, or of the widgets for ``CUSTOM``."""
    values = PRESETS.get(preset)
    if values is None:
        return SamplerSettings(sampler_name, release_sigmas(steps, shift), [])
    notice = f"Sampled with the preset '{preset}': {values.in_words}."
    return SamplerSettings(values.sampler, preset_sigmas(values), [notice])


class Sampler(io.ComfyNode):
    """Samples picture and sound together."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenSampler",
            display_name="UniAVGen Sampler",
            category="UniAVGen/sampling",
            description="Samples picture and sound together, with a guidance scale for each.",
            inputs=[
                io.Model.Input("model"),
                io.Conditioning.Input("positive"),
                io.Conditioning.Input("negative"),
                io.Latent.Input("latent"),
                seed_input(),
                *schedule_inputs(),
                *guidance_inputs(),
                io.Combo.Input(
                    "sampler_name",
                    options=comfy.samplers.KSampler.SAMPLERS,
                    default="euler",
                    tooltip="The release uses euler.",
                ),
                io.Int.Input(
                    "audio_preview_every",
                    default=DEFAULT_EVERY,
                    min=0,
                    max=1000,
                    optional=True,
                    advanced=True,
                    tooltip="Steps between sound previews, to be played on this node while it samples; 0 for none.",
                ),
                preset_input("steps, shift and sampler"),
            ],
            outputs=[io.Latent.Output()],
        )

    @classmethod
    def execute(
        cls,
        model,
        positive,
        negative,
        latent,
        seed,
        steps,
        shift,
        sampler_name="euler",
        audio_preview_every=0,
        preset=CUSTOM,
        **guidance,
    ) -> io.NodeOutput:
        guider = make_guider(model, positive, negative, choose_guidance(preset, **guidance))
        settings = choose_sampler(preset, steps, shift, sampler_name)
        sampler = comfy.samplers.sampler_object(settings.sampler_name)
        sampled = run_sampler(guider, sampler, settings.sigmas, latent, seed, PreviewSettings(audio_preview_every))
        return with_notices(settings.notices, sampled)


class Guider(io.ComfyNode):
    """Modality-aware guidance for the custom samplers."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenGuider",
            display_name="UniAVGen Guider",
            category="UniAVGen/sampling",
            description="Guides picture and sound, each by its own scale, in 'SamplerCustomAdvanced'.",
            inputs=[
                io.Model.Input("model"),
                io.Conditioning.Input("positive"),
                io.Conditioning.Input("negative"),
                *guidance_inputs(),
            ],
            outputs=[io.Guider.Output()],
        )

    @classmethod
    def execute(cls, model, positive, negative, **guidance) -> io.NodeOutput:
        return io.NodeOutput(make_guider(model, positive, negative, guidance_config(**guidance)))


class Guidance(io.ComfyNode):
    """Modality-aware guidance as a patch of the model, for plain samplers."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenGuidance",
            display_name="UniAVGen Guidance",
            category="UniAVGen/sampling",
            description="Makes any sampler, such as KSampler, guide picture and sound each by its own scale. The "
            "sampler's own cfg has no effect then.",
            inputs=[io.Model.Input("model"), *guidance_inputs()],
            outputs=[io.Model.Output()],
        )

    @classmethod
    def execute(cls, model, **guidance) -> io.NodeOutput:
        return io.NodeOutput(patch_guidance(model, guidance_config(**guidance)))


class Sigmas(io.ComfyNode):
    """Noise levels of the release."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenSigmas",
            display_name="UniAVGen Sigmas",
            category="UniAVGen/sampling",
            description="Noise levels spaced as the release does.",
            inputs=schedule_inputs(),
            outputs=[io.Sigmas.Output()],
        )

    @classmethod
    def execute(cls, steps: int, shift: float) -> io.NodeOutput:
        return io.NodeOutput(release_sigmas(steps, shift))


class StepCacheNode(io.ComfyNode):
    """Skips calls of the network while neither picture nor sound changes much."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenStepCache",
            display_name="UniAVGen Step Cache",
            category="UniAVGen/sampling",
            description="Makes sampling faster by leaving out calls of the network where neither picture nor sound is "
            "about to change by more than its own threshold.",
            inputs=[
                io.Model.Input("model", tooltip="A UniAVGen model."),
                _threshold_input("video_threshold", "picture"),
                _threshold_input("audio_threshold", "sound"),
                share_input("start_percent", 0.1, "Share of the sampling after which calls may be left out."),
                share_input("end_percent", 0.95, "Share of the sampling at which every call is run again."),
            ],
            outputs=[io.Model.Output()],
        )

    @classmethod
    def execute(
        cls, model, video_threshold: float, audio_threshold: float, start_percent: float, end_percent: float
    ) -> io.NodeOutput:
        thresholds = (video_threshold, audio_threshold)
        return io.NodeOutput(patch_step_cache(model, thresholds, start_percent, end_percent))


def _threshold_input(name: str, modality: str) -> io.Input:
    return float_input(
        name,
        default=0.05,
        min=0.0,
        max=3.0,
        step=0.01,
        tooltip=f"A call of the network is skipped while the expected relative change of the {modality} since the last "
        "call is below this threshold, and that of the other is below its own. 0 skips nothing.",
    )
