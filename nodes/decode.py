"""Decoding of a joint latent to pictures and sound."""

from comfy_api.latest import io

from ..uniavgen_core.media.audio.sound import Sound
from ..uniavgen_core.shapes import SAMPLE_RATE
from .host.media.source_media import SourceMedia, SourceMediaType
from .host.media.vae_sockets import (
    audio_vae_input,
    links_error,
    require_audio_vae,
    require_video_vae,
    video_vae_input,
)
from .host.notices import with_notices
from .host.sampling.joint_latent import split
from .host.sampling.result_checks import require_finite, result_notices
from .sockets import aliases, latent_input


class Decode(io.ComfyNode):
    """Decodes a joint latent to images and audio."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenDecode",
            display_name="UniAVGen Decode",
            category="UniAVGen/latent",
            search_aliases=aliases("vae decode, decode audio, decode video, audio video, 解码"),
            description="Decodes video and audio. 'UniAVGen Save Video' writes them to a file; every clip of a batch "
            "becomes a video of its own.",
            inputs=[
                latent_input(),
                video_vae_input(),
                audio_vae_input(),
                SourceMediaType.Input(
                    "source_media",
                    optional=True,
                    tooltip="From 'UniAVGen Task' or 'UniAVGen Keep': your own frames and audio come back untouched.",
                ),
                io.Boolean.Input(
                    "vocoded",
                    default=False,
                    optional=True,
                    advanced=True,
                    tooltip="Return the vocoded version of your own audio in place of the original.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="images", tooltip="Frames of each clip.", is_output_list=True),
                io.Audio.Output(display_name="audio", tooltip="Audio of each clip.", is_output_list=True),
                io.Float.Output(display_name="fps", tooltip="Frames per second."),
            ],
        )

    @classmethod
    def validate_inputs(cls, input_types: dict) -> bool | str:
        return links_error(cls, input_types) or True

    @classmethod
    def execute(
        cls, latent: dict, video_vae, audio_vae, source_media: SourceMedia | None = None, vocoded: bool = False
    ) -> io.NodeOutput:
        require_video_vae(video_vae)
        require_audio_vae(audio_vae)
        video, audio = split(latent)
        require_finite(video, audio)
        pictures = video_vae.decode(video)
        waveforms = audio_vae.synthesize(audio)
        source_media = source_media or SourceMedia()
        notices = result_notices(pictures if source_media.source.frames is None else None, waveforms)
        clips, fps = [], 0.0
        for images, waveform in zip(pictures, waveforms, strict=True):
            frames, fps, sound = source_media.restore(images, Sound(waveform.cpu(), SAMPLE_RATE), vocoded)
            clips.append((frames, {"waveform": sound.waveform[None], "sample_rate": sound.sample_rate}))
        return with_notices(notices, *map(list, zip(*clips, strict=True)), fps)
