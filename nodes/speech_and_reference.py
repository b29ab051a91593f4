"""The emotion, the transcript, the reference image and the reference voice of a clip."""

from comfy_api.latest import io

from ..uniavgen_core.shapes import SPATIAL_FACTOR
from ..uniavgen_core.tasks import REFERENCE_VOICE
from ..uniavgen_core.text.emotion import EMOTIONS, STRENGTHS, write_emotion
from .host.conditioning.pass_settings import REFERENCE_IMAGE_KEY, set_speech, set_values, with_original_transcripts
from .host.conditioning.spoken_texts import VOICE_TEXT, prepare_field, require_transcript
from .host.media.clip_size import CROP, STRETCH, crop_notices, picture_size
from .host.media.drawn_pictures import photograph_notices
from .host.media.footage import batch_notices
from .host.media.vae_sockets import links_error, require_video_vae, video_vae_input
from .host.media.vaes import encode_pictures
from .host.notices import error_of, with_notices
from .host.sampling.joint_latent import keep_first_latent, split
from .host.tasks.joint_setup import NO_VOICE, with_voice
from .host.tasks.task_scene import Scene
from .sockets import aliases, conditioning_inputs, conditioning_outputs, latent_output, text_input


class Emotion(io.ComfyNode):
    """Writes the person's emotion into a caption."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenEmotion",
            display_name="UniAVGen Emotion",
            category="UniAVGen/conditioning",
            search_aliases=aliases("mood, expression, feeling, happy, angry, 情绪, 表情"),
            description="Writes an emotion into the caption; face and voice both follow it.",
            inputs=[
                io.String.Input(
                    "caption",
                    multiline=True,
                    default="A toon with red hair nods while talking to the camera.",
                    tooltip="The look of the scene. An emotion that it already names is replaced.",
                ),
                io.Combo.Input(
                    "emotion",
                    options=list(EMOTIONS),
                    default="happy",
                    tooltip="The person's emotion. The bundled model knows calm, happy and angry.",
                ),
                io.Combo.Input(
                    "strength",
                    options=list(STRENGTHS),
                    default="normal",
                    tooltip="Slightly happy, happy, or very happy. The bundled model knows only 'normal'.",
                ),
            ],
            outputs=[io.String.Output(display_name="caption", tooltip="For the text encoder.")],
        )

    @classmethod
    def execute(cls, caption: str, emotion: str, strength: str) -> io.NodeOutput:
        written, notices = write_emotion(caption, emotion, strength)
        return with_notices(notices, written)


class SpeechText(io.ComfyNode):
    """Sets the transcript of a conditioning."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenSpeechText",
            display_name="UniAVGen Speech Text",
            category="UniAVGen/conditioning",
            search_aliases=aliases(
                "TTS, text to speech, speech, transcript, dialogue, lines, 语音合成, 文字转语音, 台词"
            ),
            description="What the person says, word for word. The look of the scene belongs in the caption.",
            inputs=[
                io.Conditioning.Input("conditioning", tooltip="The encoded caption."),
                io.String.Input(
                    "transcript",
                    multiline=True,
                    default="hello moon",
                    tooltip="The spoken words, in English or Chinese. Nothing else is read aloud. For your own "
                    "audio: what is said in it.",
                ),
                io.Boolean.Input(
                    "spell_out",
                    default=True,
                    optional=True,
                    tooltip="Speak numbers, dates, units and abbreviations as words. If off, the model gets them as "
                    "written.",
                ),
            ],
            outputs=[io.Conditioning.Output(tooltip="The caption with its transcript.")],
        )

    @classmethod
    def validate_inputs(cls, transcript: str | None = None, spell_out: bool | None = True) -> bool | str:
        linked = transcript is None
        return linked or error_of(require_transcript, transcript, spell_out is True) or True

    @classmethod
    def execute(cls, conditioning: list, transcript: str, spell_out: bool = True) -> io.NodeOutput:
        prepared = require_transcript(transcript, spell_out)
        return with_notices(prepared.notices, set_speech(conditioning, text=prepared.text, as_written=transcript))


class ReferenceImage(io.ComfyNode):
    """Sets an image as the person and the first frame of the clip."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenReferenceImage",
            display_name="UniAVGen Reference Image",
            category="UniAVGen/conditioning",
            search_aliases=aliases("image to video, i2v, start image, first frame, portrait, 参考图像, 图生视频"),
            description="Makes an image the person and the first frame of the clip.",
            inputs=[
                *conditioning_inputs(),
                video_vae_input(),
                io.Image.Input("image", tooltip="The person; of a batch, the first image."),
                io.Latent.Input("latent", tooltip="The empty clip; the image is resized to it."),
                io.Combo.Input(
                    "fit",
                    options=[CROP, STRETCH],
                    default=CROP,
                    tooltip="If the aspect ratios of image and clip differ: crop the image, or stretch it.",
                ),
            ],
            outputs=[*conditioning_outputs(), latent_output()],
        )

    @classmethod
    def validate_inputs(cls, input_types: dict) -> bool | str:
        return links_error(cls, input_types) or True

    @classmethod
    def execute(cls, positive: list, negative: list, video_vae, image, latent: dict, fit: str) -> io.NodeOutput:
        require_video_vae(video_vae)
        rows, columns = split(latent)[0].shape[-2:]
        size = (columns * SPATIAL_FACTOR, rows * SPATIAL_FACTOR)
        clean = encode_pictures(video_vae, image[:1], size, fit)
        values = {REFERENCE_IMAGE_KEY: clean}
        remedy = f"To keep all of it, give the latent the image's proportions, or choose the fit '{STRETCH}'."
        notices = [
            *batch_notices(image, "the image"),
            *crop_notices("the image", picture_size(image), size, fit, remedy),
            *photograph_notices(video_vae, image),
        ]
        return with_notices(
            notices, set_values(positive, values), set_values(negative, values), keep_first_latent(latent, clean)
        )


class ReferenceVoice(io.ComfyNode):
    """Lets the clip speak in the voice of a recording."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenReferenceVoice",
            display_name="UniAVGen Reference Voice",
            category="UniAVGen/conditioning",
            search_aliases=aliases("voice clone, voice cloning, speaker reference, TTS, speech, 声音克隆, 音色克隆"),
            description="Gives the clip the voice of a recording of 1 to 10 seconds.",
            inputs=[
                *conditioning_inputs(),
                io.Audio.Input(
                    "voice", optional=True, tooltip="Someone speaking, 1 to 10 seconds. Without it nothing changes."
                ),
                text_input(
                    "voice_transcript",
                    "What is said in that recording, word for word. Without it the voice is cloned less well.",
                ),
                io.Boolean.Input(
                    "as_released",
                    default=False,
                    optional=True,
                    advanced=True,
                    tooltip="Reproduces the release exactly: texts are not preprocessed, and the later unconditional "
                    "passes use both directions (probably a bug in the release).",
                ),
            ],
            outputs=conditioning_outputs(),
        )

    @classmethod
    def validate_inputs(cls, voice_transcript: str | None = None) -> bool | str:
        return error_of(prepare_field, VOICE_TEXT, voice_transcript) or True

    @classmethod
    def execute(
        cls, positive, negative, voice=None, voice_transcript: str = "", as_released: bool = False
    ) -> io.NodeOutput:
        positive = with_original_transcripts(positive) if as_released else positive
        if voice is None:
            return with_notices([NO_VOICE], positive, negative)
        scene, notices = with_voice(Scene(positive, negative, as_released=as_released), voice, voice_transcript)
        return with_notices(notices, scene.with_directions(REFERENCE_VOICE).positive, scene.negative)
