"""Sampling with modality-aware guidance: one node for all of it, or a node for each part."""

from dataclasses import dataclass

import comfy.samplers
from comfy_api.latest import io
from torch import Tensor

from ..uniavgen_core.config import AfterShare, GuidanceConfig
from ..uniavgen_core.diffusion.sampling_presets import PRESETS
from ..uniavgen_core.diffusion.schedule import release_sigmas
from .host.notices import with_notices
from .host.sampling.guided_sampling import make_guider, patch_guidance
from .host.sampling.live_preview import DEFAULT_EVERY, PreviewSettings
from .host.sampling.run_sampler import preset_sigmas, run_sampler
from .sockets import seed_input, share_input

CUSTOM = "custom"
AFTER_SHARE = {"text guidance (release)": AfterShare.TEXT_CFG, "no guidance (paper)": AfterShare.NONE}


def guidance_inputs() -> list[io.Input]:
    """Widgets of ``GuidanceConfig``, one per field."""
    return [
        io.Float.Input(
            "video_guidance",
            default=3.0,
            min=0.0,
            max=20.0,
            step=0.1,
            tooltip="How strongly picture follows text and sound.",
        ),
        io.Float.Input(
            "audio_guidance",
            default=2.0,
            min=0.0,
            max=20.0,
            step=0.1,
            tooltip="How strongly sound follows text and picture.",
        ),
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


def guidance_config(
    video_guidance: float, audio_guidance: float, share: float, afterwards: str, skipped_layer: int
) -> GuidanceConfig:
    """Read the widgets of ``guidance_inputs``."""
    return GuidanceConfig(video_guidance, audio_guidance, share, AFTER_SHARE[afterwards], skipped_layer or None)


def schedule_inputs() -> list[io.Input]:
    """Widgets of the noise schedule."""
    return [
        io.Int.Input("steps", default=50, min=1, max=1000, tooltip="Sampling steps; the release uses 50."),
        io.Float.Input(
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

    It must be the last widget of its node, because saved graphs hold the values of widgets by their order.

    Args:
        replaces: Names of the widgets that a preset overrides, for the tooltip.
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
    """Sampler and noise levels of a node.

    Attributes:
        sampler_name: ComfyUI's name of the sampler.
        sigmas: Falling noise levels, (steps + 1,).
        notices: Notices for the user.
    """

    sampler_name: str
    sigmas: Tensor
    notices: list[str]


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
        guider = make_guider(model, positive, negative, guidance_config(**guidance))
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
