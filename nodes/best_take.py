"""Several takes of one clip, of which the best is returned."""

import torch
from comfy_api.latest import io, ui

from ..uniavgen_core.evaluation.takes import Hear, Take, best_first, draw_takes, rate_take
from ..uniavgen_core.shapes import FPS
from .host.media.codec_sockets import links_error
from .host.media.whisper_loader import NO_RECOGNISER, check_recogniser, load_recogniser, recogniser_choices
from .host.notices import UI_KEY, error_of, with_notices
from .rated_sampling import Codecs, make_take_sampler, picture_bytes, rated_inputs, transcript_of
from .samplers import CUSTOM, guidance_inputs, preset_input, schedule_inputs
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
                *rated_inputs(),
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
                io.Combo.Input(
                    "recogniser",
                    options=recogniser_choices(),
                    default=NO_RECOGNISER,
                    optional=True,
                    tooltip="A Whisper that rates how many words are right: a folder in Hugging Face's format in "
                    "models/whisper or models/audio_encoders. Nothing is downloaded.",
                ),
            ],
            outputs=[
                io.Latent.Output(),
                io.Int.Output(display_name="seed", tooltip="Seed of the best take."),
                io.Image.Output(display_name="table", tooltip="Pictures and ratings of all takes, the best first."),
            ],
            is_output_node=True,
        )

    @classmethod
    def validate_inputs(cls, input_types: dict, recogniser: str | None = NO_RECOGNISER) -> bool | str:
        return links_error(cls, input_types) or error_of(check_recogniser, recogniser or NO_RECOGNISER) or True

    @classmethod
    def execute(
        cls, model, positive, negative, latent, video_codec, audio_codec, takes, seed, steps, shift,
        result=BEST, final_steps=50, preset=CUSTOM, recogniser=NO_RECOGNISER, **guidance,
    ) -> io.NodeOutput:  # fmt: skip
        sampler = make_take_sampler((model, positive, negative), preset, (steps, shift), guidance)
        codecs, words = Codecs(video_codec, audio_codec), load_recogniser(recogniser)
        transcript, rated, best = transcript_of(positive), [], latent
        for number in range(takes):
            sampled = sampler.sample(latent, seed + number, number + 1, takes)
            rated.append(rate(sampled, seed + number, codecs, transcript, None if words is None else words.hear))
            if best_first(rated)[0] is rated[-1]:
                best = sampled
        ranked = best_first(rated)
        if result == RESAMPLED:
            best = sampler.sample_again(latent, ranked[0].seed, final_steps, shift)
        table = torch.from_numpy(draw_takes(ranked).copy()).float()[None] / 255
        notices = sampler.settings.notices
        output = with_notices(notices, best, ranked[0].seed, table)
        output.ui = {**ui.PreviewImage(table, cls=cls).as_dict(), UI_KEY: notices}
        return output


def rate(sampled: dict, seed: int, codecs: Codecs, transcript: str, hear: Hear | None) -> Take:
    """Decode and rate the first clip of a sampled LATENT.

    Args:
        sampled: The LATENT.
        seed: Its seed.
        codecs: Codecs of the clip.
        transcript: What should be said; empty if that is not known.
        hear: Recogniser of words, if any.

    Returns:
        The take.
    """
    frames, sound = codecs.decode(sampled)
    waveform = sound.waveform.mean(0)
    return rate_take(seed, picture_bytes(frames), FPS, (waveform, sound.sample_rate), transcript, hear)
