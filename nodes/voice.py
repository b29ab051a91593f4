"""A reference voice for any graph."""

from comfy_api.latest import io

from ..uniavgen_core.tasks import REFERENCE_VOICE
from .host.conditioning.pass_settings import with_original_transcripts
from .host.conditioning.spoken_texts import VOICE_TEXT, prepare_field
from .host.notices import error_of, with_notices
from .host.tasks.reference_voice_setup import NO_VOICE, refer_to_voice
from .host.tasks.task_scene import with_directions


class ReferenceVoice(io.ComfyNode):
    """Lets the clip speak in the voice of a recording."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenReferenceVoice",
            display_name="UniAVGen Reference Voice",
            category="UniAVGen/conditioning",
            description="Lets the clip speak in the voice of a recording of 1 to 10 seconds.",
            inputs=[
                io.Conditioning.Input("positive"),
                io.Conditioning.Input("negative"),
                io.Audio.Input("voice", optional=True, tooltip="Someone speaking; without it nothing changes."),
                io.String.Input(
                    "voice_text",
                    default="",
                    multiline=True,
                    optional=True,
                    tooltip="What the voice says, word for word. Without it the voice is copied less well.",
                ),
                io.Boolean.Input(
                    "as_released",
                    default=False,
                    optional=True,
                    advanced=True,
                    tooltip="As the release: texts reach the model exactly as they are written, and the later null "
                    "passes run both directions, which looks like a slip. For repeating the release's own examples.",
                ),
            ],
            outputs=[
                io.Conditioning.Output(display_name="positive"),
                io.Conditioning.Output(display_name="negative"),
            ],
        )

    @classmethod
    def validate_inputs(cls, voice_text: str | None = None) -> bool | str:
        return error_of(prepare_field, VOICE_TEXT, voice_text) or True

    @classmethod
    def execute(cls, positive, negative, voice=None, voice_text: str = "", as_released: bool = False) -> io.NodeOutput:
        positive = with_original_transcripts(positive) if as_released else positive
        if voice is None:
            return with_notices([NO_VOICE], positive, negative)
        positive, negative, notices = refer_to_voice((positive, negative), voice, voice_text, as_released)
        return with_notices(notices, with_directions(positive, REFERENCE_VOICE, as_released), negative)
