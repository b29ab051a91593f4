"""Loaders: the joint model, its text encoder, and its two codecs."""

import torch
from comfy_api.latest import io

from ..uniavgen_core.bundled.bundled_files import BUNDLED_MODEL, BUNDLED_VIDEO_CODEC
from ..uniavgen_core.checkpoint.umt5_files import COMFYUI_FILE, RELEASED_FILE
from .host.conditioning.bundled_text_encoder import bundled_clip
from .host.conditioning.umt5_clip import load_text_encoder
from .host.media.codec_sockets import AudioCodecType, VideoCodecType, codec_output
from .host.media.codecs import WAN_FILES, AudioCodec, load_video_codec
from .host.media.vocoder_loader import find_vocoder, load_vocoder, vocoder_choices
from .host.model.load_model import load_uniavgen
from .host.model.model_choices import BUNDLED, model_choices, path_of_choice
from .host.notices import error_of, with_notices

GRIFFIN_LIM = "Griffin-Lim (no file)"
DTYPES = {
    "default": {},
    "fp8_e4m3fn": {"dtype": torch.float8_e4m3fn},
    "fp8_e4m3fn_fast": {"dtype": torch.float8_e4m3fn, "fp8_optimizations": True},
    "fp8_e5m2": {"dtype": torch.float8_e5m2},
}


class LoadModel(io.ComfyNode):
    """Loads the joint video and audio model, or one of its branches."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenLoadModel",
            display_name="UniAVGen Load Model",
            category="UniAVGen/loaders",
            description="Loads the joint video and audio model: the bundled small one, or a file of diffusion_models. "
            "Wan2.2-TI2V-5B loads as the video branch alone, without sound.",
            inputs=[
                io.Combo.Input(
                    "model_name",
                    options=model_choices("diffusion_models", True),
                    tooltip="Joint model file, or one of its branches alone.",
                ),
                io.Combo.Input(
                    "weight_dtype",
                    options=list(DTYPES),
                    default="default",
                    advanced=True,
                    tooltip="Precision of the weights in memory; default keeps the file's.",
                ),
            ],
            outputs=[io.Model.Output()],
        )

    @classmethod
    def execute(cls, model_name: str, weight_dtype: str = "default") -> io.NodeOutput:
        path = path_of_choice("diffusion_models", model_name, BUNDLED_MODEL)
        notices: list[str] = []
        model = load_uniavgen(path, dict(DTYPES[weight_dtype]), on_notice=notices.append)
        return with_notices(notices, model)


class LoadTextEncoder(io.ComfyNode):
    """Loads the text encoder of the caption."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenLoadTextEncoder",
            display_name="UniAVGen Load Text Encoder",
            category="UniAVGen/loaders",
            description="Loads the encoder of the caption: the bundled model's, or umT5-xxl from text_encoders. "
            "Captions are read as the release reads them: brackets are plain text and set no weights.",
            inputs=[
                io.Combo.Input(
                    "text_encoder",
                    options=model_choices("text_encoders"),
                    tooltip=f"umT5-xxl for the released model: the release's {RELEASED_FILE}, or ComfyUI's "
                    f"{COMFYUI_FILE}.",
                )
            ],
            outputs=[io.Clip.Output()],
        )

    @classmethod
    def execute(cls, text_encoder: str) -> io.NodeOutput:
        if text_encoder == BUNDLED:
            return io.NodeOutput(bundled_clip())
        notices: list[str] = []
        clip = load_text_encoder(path_of_choice("text_encoders", text_encoder), notices.append)
        return with_notices(notices, clip)


class LoadVideoCodec(io.ComfyNode):
    """Loads the codec between pictures and video latents."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenLoadVideoCodec",
            display_name="UniAVGen Load Video Codec",
            category="UniAVGen/loaders",
            description="Loads the video codec: the bundled model's, or the Wan2.2 VAE from vae. Its latents are "
            "normalised, as the joint model needs them; the stock VAE loader's are not.",
            inputs=[
                io.Combo.Input(
                    "video_codec",
                    options=model_choices("vae"),
                    tooltip=f"Wan2.2 VAE for the released model: {WAN_FILES}.",
                )
            ],
            outputs=[codec_output(VideoCodecType, "video_codec")],
        )

    @classmethod
    def execute(cls, video_codec: str) -> io.NodeOutput:
        return io.NodeOutput(load_video_codec(path_of_choice("vae", video_codec, BUNDLED_VIDEO_CODEC)))


class LoadAudioCodec(io.ComfyNode):
    """Makes the codec between sound and audio latents."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenLoadAudioCodec",
            display_name="UniAVGen Load Audio Codec",
            category="UniAVGen/loaders",
            description="Makes the audio codec. The audio latent is a mel spectrogram; the vocoder makes sound of it.",
            inputs=[
                io.Combo.Input(
                    "vocoder",
                    options=[GRIFFIN_LIM, *vocoder_choices()],
                    tooltip="Griffin-Lim needs no file and sounds slightly hollow. code2wav_bigvgan_model is the "
                    "released model's: a folder in models/vocoders.",
                )
            ],
            outputs=[codec_output(AudioCodecType, "audio_codec")],
        )

    @classmethod
    def validate_inputs(cls, vocoder: str | None = None) -> bool | str:
        """Report a missing vocoder, and where to get it, before the workflow runs."""
        return vocoder in (None, GRIFFIN_LIM) or error_of(find_vocoder, str(vocoder)) or True

    @classmethod
    def execute(cls, vocoder: str) -> io.NodeOutput:
        loaded = None if vocoder == GRIFFIN_LIM else load_vocoder(vocoder)
        return with_notices(loaded.notices if loaded else (), AudioCodec(loaded))
