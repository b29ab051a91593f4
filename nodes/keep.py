"""Keeps any spans of a clip, in seconds, and lets the rest be generated."""

from comfy_api.latest import io

from ..uniavgen_core.config import Interaction
from ..uniavgen_core.media.time_spans import parse_spans
from .host.conditioning.pass_settings import has_speech, set_pass, set_speech
from .host.conditioning.spoken_texts import NO_SOUND_WORDS
from .host.media.vae_sockets import links_error, require_video_vae, video_vae_input
from .host.notices import error_of, with_notices
from .host.tasks.keep_spans import directions_of, keep_spans
from .sockets import aliases, conditioning_inputs, float_input, prepared_outputs

SPANS = 'Seconds, such as "0-1.5, 3-4", "2-" (to the end) or "all"; empty for nothing.'


class Keep(io.ComfyNode):
    """Keeps spans of a clip."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenKeep",
            display_name="UniAVGen Keep",
            category="UniAVGen/conditioning",
            search_aliases=aliases(
                "inpaint, audio inpainting, video inpainting, extend video, audio video mask, edit speech, 保留, "
                "局部重绘"
            ),
            description="Keeps any spans of a clip's video and audio and generates the rest: replace a sentence, "
            "fill a gap.",
            inputs=[
                *conditioning_inputs(),
                io.Latent.Input("latent", tooltip="The clip's length and size."),
                video_vae_input(),
                io.Video.Input("video", optional=True, tooltip="The video to keep spans of, with its audio."),
                io.Audio.Input("audio", optional=True, tooltip="Audio to keep in place of the video's own."),
                io.String.Input("video_spans", default="all", tooltip=f"Spans of the video that are kept. {SPANS}"),
                io.String.Input("audio_spans", default="", tooltip=f"Spans of the audio that are kept. {SPANS}"),
                float_input(
                    "speech_start",
                    default=0.0,
                    min=0.0,
                    max=120.0,
                    step=0.01,
                    optional=True,
                    tooltip="When the transcript begins, in seconds, for models with a fixed speaking rate, such as "
                    "the bundled one. The official weights time the words themselves: give them the whole "
                    "transcript.",
                ),
            ],
            outputs=prepared_outputs(),
        )

    @classmethod
    def validate_inputs(
        cls, video_spans: str | None = None, audio_spans: str | None = None, input_types: dict | None = None
    ) -> bool | str:
        faults = [error_of(parse_spans, spans) for spans in (video_spans, audio_spans) if spans is not None]
        return links_error(cls, input_types or {}) or next(filter(None, faults), True)

    @classmethod
    def execute(
        cls, positive, negative, latent, video_vae, video_spans, audio_spans,
        video=None, audio=None, speech_start=0.0,
    ) -> io.NodeOutput:  # fmt: skip
        require_video_vae(video_vae)
        spans = (parse_spans(video_spans), parse_spans(audio_spans))
        latent, source_media, notices = keep_spans(latent, video_vae, video, audio, *spans)
        interaction = directions_of(latent)
        if interaction is Interaction.AUDIO_TO_VIDEO and not has_speech(positive):
            notices = [*notices, NO_SOUND_WORDS]
        positive = set_speech(set_pass(positive, interaction=interaction), start=speech_start)
        return with_notices(notices, positive, negative, latent, source_media)
