"""Decoding of a joint latent to pictures and sound."""

from comfy_api.latest import io

from ..uniavgen_core.media.audio.sound import Sound
from ..uniavgen_core.shapes import SAMPLE_RATE
from .host.media.codec_sockets import (
    audio_codec_input,
    links_error,
    require_audio_codec,
    require_video_codec,
    video_codec_input,
)
from .host.media.source_media import SourceMedia, SourceMediaType
from .host.notices import with_notices
from .host.sampling.joint_latent import split
from .host.sampling.result_checks import require_finite, result_notices


class Decode(io.ComfyNode):
    """Decodes a joint latent to images and audio."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenDecode",
            display_name="UniAVGen Decode",
            category="UniAVGen/latent",
            description="Decodes picture and sound. 'UniAVGen Save Video' writes them to a file; every clip of a batch "
            "becomes a video of its own.",
            inputs=[
                io.Latent.Input("latent"),
                video_codec_input(),
                audio_codec_input(),
                SourceMediaType.Input(
                    "given",
                    optional=True,
                    tooltip="From 'UniAVGen Task' or 'UniAVGen Keep': what you gave comes back untouched.",
                ),
                io.Boolean.Input(
                    "vocoded",
                    default=False,
                    optional=True,
                    advanced=True,
                    tooltip="Return the model's copy of given sound in place of the original.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="images", is_output_list=True),
                io.Audio.Output(display_name="audio", is_output_list=True),
                io.Float.Output(display_name="fps"),
            ],
        )

    @classmethod
    def validate_inputs(cls, input_types: dict) -> bool | str:
        return links_error(cls, input_types) or True

    @classmethod
    def execute(
        cls, latent: dict, video_codec, audio_codec, given: SourceMedia | None = None, vocoded: bool = False
    ) -> io.NodeOutput:
        require_video_codec(video_codec)
        require_audio_codec(audio_codec)
        video, audio = split(latent)
        require_finite(video, audio)
        pictures = video_codec.decode(video)
        waveforms = audio_codec.synthesize(audio)
        given = given or SourceMedia()
        notices = result_notices(pictures if given.source.frames is None else None, waveforms)
        clips, fps = [], 0.0
        for images, waveform in zip(pictures, waveforms, strict=True):
            frames, fps, sound = given.restore(images, Sound(waveform.cpu(), SAMPLE_RATE), vocoded)
            clips.append((frames, {"waveform": sound.waveform[None], "sample_rate": sound.sample_rate}))
        return with_notices(notices, *map(list, zip(*clips, strict=True)), fps)
