"""Several takes of one clip, of which the best is returned."""

import comfy.samplers
import torch
from comfy_api.latest import io, ui

from ..uniavgen_core.evaluation.takes import Take, best_first, draw_takes, rate_take
from ..uniavgen_core.shapes import FPS, SAMPLE_RATE
from .host.conditioning.pass_settings import pass_settings_of
from .host.media.codec_sockets import (
    audio_codec_input,
    links_error,
    require_audio_codec,
    require_video_codec,
    video_codec_input,
)
from .host.notices import UI_KEY, show_progress, with_notices
from .host.sampling.guided_sampling import make_guider
from .host.sampling.joint_latent import split
from .host.sampling.live_preview import PreviewSettings
from .host.sampling.run_sampler import run_sampler
from .samplers import CUSTOM, choose_guidance, choose_sampler, guidance_inputs, preset_input, schedule_inputs
from .sockets import seed_input

BEST, RESAMPLED = "the best take", "the best take, resampled with final_steps"


class BestTake(io.ComfyNode):
    """Samples several takes and returns the best."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenBestTake",
            display_name="UniAVGen Best Take",
            category="UniAVGen/sampling",
            description="Samples a clip with several seeds, rates lip-sync, sound and picture of each take, and "
            "returns the best.",
            inputs=[
                io.Model.Input("model"),
                io.Conditioning.Input("positive"),
                io.Conditioning.Input("negative"),
                io.Latent.Input("latent"),
                video_codec_input(),
                audio_codec_input(),
                io.Int.Input("takes", default=4, min=2, max=64, tooltip="Number of takes: seed, seed + 1, and so on."),
                seed_input(),
                *schedule_inputs(),
                *guidance_inputs(),
                io.Combo.Input(
                    "result",
                    options=[BEST, RESAMPLED],
                    tooltip="The best take as it is, or sampled again from the same noise with more steps.",
                ),
                io.Int.Input("final_steps", default=50, min=1, max=1000, tooltip="Steps of the resampled take."),
                preset_input("steps and shift"),
            ],
            outputs=[
                io.Latent.Output(),
                io.Int.Output(display_name="seed", tooltip="Seed of the best take."),
                io.Image.Output(display_name="table", tooltip="Pictures and ratings of all takes, the best first."),
            ],
            is_output_node=True,
        )

    @classmethod
    def validate_inputs(cls, input_types: dict) -> bool | str:
        return links_error(cls, input_types) or True

    @classmethod
    def execute(
        cls, model, positive, negative, latent, video_codec, audio_codec, takes, seed, steps, shift,
        result=BEST, final_steps=50, preset=CUSTOM, **guidance,
    ) -> io.NodeOutput:  # fmt: skip
        guider = make_guider(model, positive, negative, choose_guidance(preset, **guidance))
        require_video_codec(video_codec)
        require_audio_codec(audio_codec)
        settings = choose_sampler(preset, steps, shift, "euler")
        sampler = comfy.samplers.sampler_object(settings.sampler_name)
        characters, rated, best = characters_of(positive), [], latent
        for number in range(takes):
            show_progress(f"Take {number + 1} of {takes}")
            shown = PreviewSettings(0, number + 1, takes)
            sampled = run_sampler(guider, sampler, settings.sigmas, latent, seed + number, shown)
            rated.append(rate(sampled, seed + number, video_codec, audio_codec, characters))
            if best_first(rated)[0] is rated[-1]:
                best = sampled
        ranked = best_first(rated)
        if result == RESAMPLED:
            again = choose_sampler(CUSTOM, final_steps, shift, "euler")
            best = run_sampler(guider, sampler, again.sigmas, latent, ranked[0].seed)
        table = torch.from_numpy(draw_takes(ranked).copy()).float()[None] / 255
        output = with_notices(settings.notices, best, ranked[0].seed, table)
        output.ui = {**ui.PreviewImage(table, cls=cls).as_dict(), UI_KEY: settings.notices}
        return output


def characters_of(positive: list) -> int:
    """Characters of the transcript of a CONDITIONING; 0 if several speak, or none."""
    speeches = pass_settings_of(positive[0][1]).speeches
    return len(speeches[0].text or "") if len(speeches) == 1 else 0


def rate(sampled: dict, seed: int, video_codec, audio_codec, characters: int) -> Take:
    """Decode and rate the first clip of a sampled LATENT."""
    video, audio = split(sampled)
    frames = video_codec.decode(video[:1])[0]
    waveform = audio_codec.synthesize(audio[:1])[0].mean(0).cpu()
    pictures = (frames * 255).round().clamp(0, 255).to(torch.uint8).cpu().numpy()
    return rate_take(seed, pictures, FPS, (waveform, SAMPLE_RATE), characters)
