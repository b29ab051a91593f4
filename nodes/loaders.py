"""Loaders: the joint model, its text encoder, and its two VAEs."""

import torch
from comfy_api.latest import io

from ..uniavgen_core.bundled.bundled_files import BUNDLED_MODEL, BUNDLED_VIDEO_CODEC
from ..uniavgen_core.checkpoint.umt5_files import COMFYUI_FILE, RELEASED_FILE
from .host.conditioning.bundled_text_encoder import bundled_clip
from .host.conditioning.umt5_clip import load_text_encoder
from .host.media.tiny_video_vae import TINY_FOLDER, is_tiny, tiny_names
from .host.media.vae_sockets import AudioVAEType, VideoVAEType, vae_output
from .host.media.vaes import AudioVAE
from .host.media.video_vae_files import WAN_FILES, load_video_vae
from .host.media.vocoder_loader import find_vocoder, load_vocoder, vocoder_choices
from .host.model.load_model import load_uniavgen
from .host.model.model_choices import BUNDLED, model_choices, path_of_choice
from .host.notices import error_of, with_notices
from .sockets import aliases, model_output

GRIFFIN_LIM = "griffin_lim"
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
            search_aliases=aliases(
                "load checkpoint, load diffusion model, unet loader, gguf, wan, talking head model, 加载模型, "
                "数字人模型"
            ),
            description="Loads the joint audio-video model: the bundled small model, or a file from "
            "diffusion_models. Wan2.2-TI2V-5B loads as the video branch alone, without audio.",
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
                    tooltip="Precision of the weights in memory; default keeps that of the file.",
                ),
            ],
            outputs=[model_output()],
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
            search_aliases=aliases("clip loader, load clip, t5, umt5, 文本编码器"),
            description="Loads the caption's text encoder: the bundled model's, or umT5-xxl from text_encoders. As "
            "in the release, brackets in a caption are plain text and set no weights.",
            inputs=[
                io.Combo.Input(
                    "text_encoder",
                    options=model_choices("text_encoders"),
                    tooltip=f"umT5-xxl for the official weights: the release's {RELEASED_FILE}, or ComfyUI's "
                    f"{COMFYUI_FILE}.",
                )
            ],
            outputs=[io.Clip.Output(tooltip="For 'CLIP Text Encode'.")],
        )

    @classmethod
    def execute(cls, text_encoder: str) -> io.NodeOutput:
        if text_encoder == BUNDLED:
            return io.NodeOutput(bundled_clip())
        notices: list[str] = []
        clip = load_text_encoder(path_of_choice("text_encoders", text_encoder), notices.append)
        return with_notices(notices, clip)


class LoadVideoVAE(io.ComfyNode):
    """Loads the VAE between frames and video latents."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenLoadVideoVAE",
            display_name="UniAVGen Load Video VAE",
            category="UniAVGen/loaders",
            search_aliases=aliases("vae loader, load vae, wan vae, video codec, 视频 VAE"),
            description="Loads the video VAE: the bundled model's, or the Wan2.2 VAE from vae. It normalizes its "
            "latents as the joint model needs them; the stock VAE loader does not.",
            inputs=[
                io.Combo.Input(
                    "video_vae",
                    options=[*model_choices("vae"), *tiny_names()],
                    tooltip=f"Wan2.2 VAE for the official weights: {WAN_FILES}. lighttaew2_2 in vae_approx decodes "
                    "much faster, for drafts.",
                )
            ],
            outputs=[vae_output(VideoVAEType, "video_vae")],
        )

    @classmethod
    def execute(cls, video_vae: str) -> io.NodeOutput:
        folder = TINY_FOLDER if is_tiny(video_vae) and video_vae in tiny_names() else "vae"
        return io.NodeOutput(load_video_vae(path_of_choice(folder, video_vae, BUNDLED_VIDEO_CODEC)))


class LoadAudioVAE(io.ComfyNode):
    """Makes the VAE between sound and audio latents."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenLoadAudioVAE",
            display_name="UniAVGen Load Audio VAE",
            category="UniAVGen/loaders",
            search_aliases=aliases("audio vae loader, vocoder, bigvgan, vocos, mel spectrogram, 声码器"),
            description="Makes the audio VAE. The audio latent is a mel spectrogram; the vocoder turns it into a "
            "waveform.",
            inputs=[
                io.Combo.Input(
                    "vocoder",
                    options=[GRIFFIN_LIM, *vocoder_choices()],
                    tooltip="Griffin-Lim needs no file and sounds slightly hollow. code2wav_bigvgan_model belongs to "
                    "the official weights: a folder in models/vocoders.",
                )
            ],
            outputs=[vae_output(AudioVAEType, "audio_vae")],
        )

    @classmethod
    def validate_inputs(cls, vocoder: str | None = None) -> bool | str:
        """Report a missing vocoder, and where to get it, before the workflow runs."""
        return vocoder in (None, GRIFFIN_LIM) or error_of(find_vocoder, str(vocoder)) or True

    @classmethod
    def execute(cls, vocoder: str) -> io.NodeOutput:
        loaded = None if vocoder == GRIFFIN_LIM else load_vocoder(vocoder)
        return with_notices(loaded.notices if loaded else (), AudioVAE(loaded))
