"""Several takes of one clip, of which the best is returned."""

import torch
from comfy_api.latest import io, ui

from ..uniavgen_core.evaluation.takes import Hear, Take, best_first, draw_takes, rate_take
from ..uniavgen_core.shapes import FPS
from .host.media.vae_sockets import links_error
from .host.media.whisper_loader import NO_RECOGNIZER, check_recognizer, load_recognizer, recognizer_choices
from .host.notices import error_of
from .rated_sampling import VAEs, make_take_sampler, picture_bytes, rated_inputs, transcript_of
from .sampling_widgets import CUSTOM, guidance_inputs, preset_input, schedule_inputs
from .sockets import aliases, latent_output, seed_input

BEST_TAKE, BEST_TAKE_RESAMPLED = "best_take", "best_take_resampled"


class BestTake(io.ComfyNode):
    """Samples several takes and returns the best."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenBestTake",
            display_name="UniAVGen Best Take",
            category="UniAVGen/sampling",
            search_aliases=aliases("best of n, seed search, try seeds, rank, pick best, 多次采样, 择优"),
            description="Samples a clip with several seeds, rates the lip-sync, audio and picture of every take, and "
            "returns the best.",
            inputs=[
                *rated_inputs(),
                io.Int.Input("takes", default=4, min=2, max=64, tooltip="Number of takes: seed, seed + 1, and so on."),
                seed_input(),
                preset_input(),
                *schedule_inputs(),
                *guidance_inputs(),
                io.Combo.Input(
                    "result",
                    options=[BEST_TAKE, BEST_TAKE_RESAMPLED],
                    tooltip="The best take as it is, or resampled from the same noise with more steps.",
                ),
                io.Int.Input("final_steps", default=50, min=1, max=1000, tooltip="Steps of the resampled take."),
                io.Combo.Input(
                    "recognizer",
                    options=recognizer_choices(),
                    default=NO_RECOGNIZER,
                    optional=True,
                    tooltip="A Whisper that rates how many words are right: a folder in Hugging Face's format in "
                    "models/whisper or models/audio_encoders. Nothing is downloaded.",
                ),
            ],
            outputs=[
                latent_output(),
                io.Int.Output(display_name="seed", tooltip="Seed of the best take."),
                io.Image.Output(display_name="table", tooltip="Frames and ratings of all takes, the best first."),
            ],
            is_output_node=True,
        )

    @classmethod
    def validate_inputs(cls, input_types: dict, recognizer: str | None = NO_RECOGNIZER) -> bool | str:
        return links_error(cls, input_types) or error_of(check_recognizer, recognizer or NO_RECOGNIZER) or True

    @classmethod
    def execute(
        cls, model, positive, negative, latent, video_vae, audio_vae, takes, seed, steps, shift,
        result=BEST_TAKE, final_steps=50, preset=CUSTOM, recognizer=NO_RECOGNIZER, **guidance,
    ) -> io.NodeOutput:  # fmt: skip
        sampler = make_take_sampler((model, positive, negative), preset, (steps, shift), guidance)
        vaes, words = VAEs(video_vae, audio_vae), load_recognizer(recognizer)
        transcript, rated, best = transcript_of(positive), [], latent
        for number in range(takes):
            sampled = sampler.sample(latent, seed + number, number + 1, takes)
            rated.append(rate(sampled, seed + number, vaes, transcript, None if words is None else words.hear))
            if best_first(rated)[0] is rated[-1]:
                best = sampled
        ranked = best_first(rated)
        if result == BEST_TAKE_RESAMPLED:
            best = sampler.sample_again(latent, ranked[0].seed, final_steps, shift)
        table = torch.from_numpy(draw_takes(ranked).copy()).float()[None] / 255
        return io.NodeOutput(best, ranked[0].seed, table, ui=ui.PreviewImage(table, cls=cls))


def rate(sampled: dict, seed: int, vaes: VAEs, transcript: str, hear: Hear | None) -> Take:
    """Decode and rate the first clip of a sampled LATENT.

    Args:
        sampled: The LATENT.
        seed: Its seed.
        vaes: VAEs of the clip.
        transcript: What should be said; empty if that is not known.
        hear: Recognizer of words, if any.

    Returns:
        The take.
    """
    frames, sound = vaes.decode(sampled)
    waveform = sound.waveform.mean(0)
    return rate_take(seed, picture_bytes(frames), FPS, (waveform, sound.sample_rate), transcript, hear)
