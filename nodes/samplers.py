"""Sampling with modality-aware guidance: one node for all of it, or a node for each part; and the step cache."""

import comfy.samplers
from comfy_api.latest import io

from .host.model.load_model import require_uniavgen
from .host.sampling.cached_sampling import patch_step_cache
from .host.sampling.guided_sampling import make_guider, patch_guidance
from .host.sampling.live_preview import DEFAULT_EVERY, PreviewSettings
from .host.sampling.run_sampler import run_sampler
from .sampling_widgets import (
    CUSTOM,
    automatic_input,
    choose_guidance,
    choose_sampler,
    choose_sigmas,
    find_preset,
    guidance_inputs,
    preset_input,
    schedule_inputs,
)
from .sockets import (
    aliases,
    conditioning_inputs,
    float_input,
    latent_input,
    latent_output,
    model_input,
    model_output,
    seed_input,
    share_input,
)


class Sampler(io.ComfyNode):
    """Samples picture and sound together."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenSampler",
            display_name="UniAVGen Sampler",
            category="UniAVGen/sampling",
            search_aliases=aliases("ksampler, sampler, audio video, talking head, lip sync, 采样器, 音视频"),
            description="Samples video and audio together, with a guidance scale for each.",
            inputs=[
                model_input(),
                *conditioning_inputs(),
                latent_input(),
                seed_input(),
                preset_input(),
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
                    tooltip="Steps between audio previews, which play on this node while it samples; 0 for none.",
                ),
            ],
            outputs=[latent_output()],
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
        chosen = find_preset(preset, model)
        guider = make_guider(model, positive, negative, choose_guidance(chosen, **guidance))
        settings = choose_sampler(chosen, steps, shift, sampler_name)
        sampler = comfy.samplers.sampler_object(settings.sampler_name)
        previews = PreviewSettings(audio_preview_every)
        return io.NodeOutput(run_sampler(guider, sampler, settings.sigmas, latent, seed, previews))


class Guider(io.ComfyNode):
    """Modality-aware guidance for the custom samplers."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenGuider",
            display_name="UniAVGen Guider",
            category="UniAVGen/sampling",
            search_aliases=aliases("guider, cfg guider, modality-aware cfg, skip layer guidance, SLG, 引导"),
            description="Guides video and audio, each with a scale of its own, in 'SamplerCustomAdvanced'.",
            inputs=[
                model_input(),
                *conditioning_inputs(),
                automatic_input(guidance_inputs()),
                *guidance_inputs(),
            ],
            outputs=[io.Guider.Output(tooltip="For 'SamplerCustomAdvanced'.")],
        )

    @classmethod
    def execute(cls, model, positive, negative, preset=CUSTOM, **guidance) -> io.NodeOutput:
        config = choose_guidance(find_preset(preset, model), **guidance)
        return io.NodeOutput(make_guider(model, positive, negative, config))


class Guidance(io.ComfyNode):
    """Modality-aware guidance as a patch of the model, for plain samplers."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenGuidance",
            display_name="UniAVGen Guidance",
            category="UniAVGen/sampling",
            search_aliases=aliases("cfg, modality-aware cfg, guidance scale, skip layer guidance, SLG, 引导强度"),
            description="Lets any sampler, such as KSampler, guide video and audio with a scale for each. The "
            "sampler's own cfg then has no effect.",
            inputs=[model_input(), automatic_input(guidance_inputs()), *guidance_inputs()],
            outputs=[model_output()],
        )

    @classmethod
    def execute(cls, model, preset=CUSTOM, **guidance) -> io.NodeOutput:
        return io.NodeOutput(patch_guidance(model, choose_guidance(find_preset(preset, model), **guidance)))


class Sigmas(io.ComfyNode):
    """Noise levels of the release."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenSigmas",
            display_name="UniAVGen Sigmas",
            category="UniAVGen/sampling",
            search_aliases=aliases("scheduler, sigmas, shift, flow shift, 调度器"),
            description="Noise levels spaced as in the release.",
            inputs=[model_input(), automatic_input(schedule_inputs()), *schedule_inputs()],
            outputs=[io.Sigmas.Output(tooltip="For 'SamplerCustomAdvanced'.")],
        )

    @classmethod
    def execute(cls, model, steps: int, shift: float, preset: str = CUSTOM) -> io.NodeOutput:
        require_uniavgen(model)
        return io.NodeOutput(choose_sigmas(find_preset(preset, model), steps, shift))


class StepCacheNode(io.ComfyNode):
    """Skips calls of the network while neither picture nor sound changes much."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenStepCache",
            display_name="UniAVGen Step Cache",
            category="UniAVGen/sampling",
            search_aliases=aliases("teacache, easycache, speed up, acceleration, faster sampling, 加速, 缓存"),
            description="Speeds up sampling by skipping network calls while video and audio are expected to change "
            "less than their thresholds.",
            inputs=[
                model_input(),
                _threshold_input("video_threshold", "video"),
                _threshold_input("audio_threshold", "audio"),
                share_input("start_percent", 0.1, "Share of the sampling after which calls may be skipped."),
                share_input("end_percent", 0.95, "Share of the sampling after which every call runs again."),
            ],
            outputs=[model_output()],
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
        tooltip=f"A network call is skipped while the expected relative change of the {modality} since the last call "
        "is below this threshold, and the other modality's is below its own. 0 skips nothing.",
    )
