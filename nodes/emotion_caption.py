"""The emotion of a clip, which is set in its caption."""

from comfy_api.latest import io

from ..uniavgen_core.text.emotion import EMOTIONS, STRENGTHS, write_emotion
from .host.notices import with_notices


class Emotion(io.ComfyNode):
    """Writes the person's emotion into a caption."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenEmotion",
            display_name="UniAVGen Emotion",
            category="UniAVGen/conditioning",
            description="Writes into the caption how the person feels; picture and voice both follow it.",
            inputs=[
                io.String.Input(
                    "caption",
                    multiline=True,
                    default="A toon with red hair nods while talking to the camera.",
                    tooltip="How the scene looks. An emotion it names already is replaced.",
                ),
                io.Combo.Input(
                    "emotion",
                    options=list(EMOTIONS),
                    default="happy",
                    tooltip="How the person feels. The bundled model knows calm, happy and angry.",
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
