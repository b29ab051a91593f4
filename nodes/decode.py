"""The joint latent as picture and sound."""

import torch
from comfy_api.latest import io

from ..uniavgen_core.media.loudness import under_ceiling
from ..uniavgen_core.media.sound import Sound
from ..uniavgen_core.shapes import FPS, SAMPLE_RATE
from .host.codec import AudioCodec
from .host.given import Given, GivenType
from .host.latent import split
from .host.notices import with_notices

SILENT_PEAK = 1e-3


class Decode(io.ComfyNode):
    """Decodes a joint latent to images and audio."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenDecode",
            display_name="UniAVGen Decode",
            category="UniAVGen/latent",
            description="Decodes picture and sound. Join them with 'Create Video' at the given frames per second.",
            inputs=[
                io.Latent.Input("latent"),
                io.Vae.Input("video_codec", tooltip="From 'UniAVGen Load Video Codec'."),
                io.Vae.Input("audio_codec", tooltip="From 'UniAVGen Load Audio Codec'."),
                GivenType.Input(
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
                io.Image.Output(display_name="images"),
                io.Audio.Output(display_name="audio"),
                io.Float.Output(display_name="fps"),
            ],
        )

    @classmethod
    def execute(
        cls, latent: dict, video_codec, audio_codec, given: Given | None = None, vocoded: bool = False
    ) -> io.NodeOutput:
        video, audio = split(latent)
        if not isinstance(audio_codec, AudioCodec):
            raise ValueError("audio_codec is not an audio codec of UniAVGen. Load it with 'UniAVGen Load Audio Codec'.")
        if not torch.isfinite(video).all():
            raise ValueError(
                "The video latent holds values that are not finite, so the picture would be black. Lower the "
                "guidance, or load the model in bf16 or fp32 instead of fp16."
            )
        images = video_codec.decode(video).flatten(0, 1)
        waveform = audio_codec.synthesize(audio)
        notices = []
        if waveform.abs().max() < SILENT_PEAK:
            notices.append("The generated sound is silent. Check the transcript and the number of steps.")
        if given is None or given.source is None:
            heard = {"waveform": under_ceiling(waveform), "sample_rate": SAMPLE_RATE}
            return with_notices(notices, images, heard, float(FPS))
        if len(waveform) > 1:
            raise ValueError(
                f"The latent holds {len(waveform)} clips, but what was given belongs to one. Sample one clip at a "
                "time, or disconnect 'given'."
            )
        images, fps, sound = given.put_back(images, Sound(waveform[0].cpu(), SAMPLE_RATE), vocoded)
        return with_notices(notices, images, {"waveform": sound.waveform[None], "sample_rate": sound.sample_rate}, fps)
