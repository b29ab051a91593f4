"""One node for the five tasks: what is given, and what is generated."""

from collections.abc import Callable

from comfy_api.latest import io

from .empty_latent import LONGEST, SHORTEST
from .host.conditioning.pass_settings import with_original_transcripts
from .host.conditioning.spoken_texts import WITHOUT_WORDS
from .host.media.batch_notices import batch_notices
from .host.media.codec_sockets import links_error, require_video_codec, video_codec_input
from .host.media.drawn_pictures import photograph_notices
from .host.media.source_media import GivenType
from .host.notices import with_notices
from .host.tasks.task_scene import Scene
from .host.tasks.task_setup import (
    Continuation,
    Prepared,
    continue_clip,
    dub,
    follow_sound,
    speak,
    speak_with_voice,
    with_voice,
)
from .size_input import chosen_size, size_input

SOUND_LENGTH, SET_LENGTH = "as long as the sound", "as set in seconds"
WHOLE, NEW = "the whole clip", "from the kept part on"


def _image(tooltip: str) -> io.Input:
    return io.Image.Input("image", optional=True, tooltip=tooltip)


def _seconds(tooltip: str, name: str = "seconds", default: float = 2.0625) -> io.Input:
    return io.Float.Input(name, default=default, min=SHORTEST, max=LONGEST, step=0.0625, round=0.0001, tooltip=tooltip)


def _text(name: str, tooltip: str) -> io.Input:
    return io.String.Input(name, default="", multiline=True, optional=True, tooltip=tooltip)


def _voice() -> list[io.Input]:
    return [
        io.Audio.Input(
            "voice", optional=True, tooltip="1 to 10 seconds of someone speaking; any rate, mono or stereo."
        ),
        _text("voice_text", "What the reference voice says, word for word. Without it the voice is copied less well."),
    ]


DUBBED = "The video to dub. Decode returns its frames bit for bit, and 'UniAVGen Save Video' copies its video stream."
CONTINUED = "The clip to continue. Decode returns it bit for bit; the saved file encodes it again."
PERSON = "The person, and the first frame. Without one, the caption alone says who it is."


def task_options() -> list[io.DynamicCombo.Option]:
    """The tasks, each with the inputs it needs."""
    return [
        io.DynamicCombo.Option("speak", [_image(PERSON), _seconds("Length of the clip.")]),
        io.DynamicCombo.Option("speak with a voice", [_image(PERSON), _seconds("Length of the clip."), *_voice()]),
        io.DynamicCombo.Option(
            "follow a sound",
            [
                _image(PERSON),
                io.Audio.Input(
                    "sound",
                    optional=True,
                    tooltip="The sound that drives the lips. Decode returns it sample for sample, and 'UniAVGen Save "
                    "Video' stores it without loss. Write down what is said in it: see sound_text.",
                ),
                io.Combo.Input("length", options=[SOUND_LENGTH, SET_LENGTH], tooltip="How long the clip becomes."),
                _seconds("Length where it is set: a longer sound is cut, after a shorter one more is generated."),
                _text(
                    "sound_text",
                    "The words of the sound, as they are spoken; needed also when nothing is generated after it, "
                    "unless 'UniAVGen Speech Text' has them. Of a sound that is cut, only the words that are left. "
                    f"{WITHOUT_WORDS}",
                ),
            ],
        ),
        io.DynamicCombo.Option("dub a video", [io.Video.Input("video", tooltip=DUBBED)]),
        io.DynamicCombo.Option(
            "continue a clip",
            [
                io.Video.Input("video", tooltip=CONTINUED),
                _seconds("How much of its end the model sees.", "keep_seconds", 0.5625),
                _seconds("How much is generated after it.", default=1.5),
                io.Combo.Input("result", options=[WHOLE, NEW], tooltip="What the result holds."),
                _text("kept_text", "What the kept part says, if anything."),
                _image("The person; without one, the clip's first frame."),
                *_voice(),
            ],
        ),
    ]


def _speak(scene: Scene, given: dict) -> Prepared:
    return speak(scene, given.get("image"), given["seconds"])


def _speak_with_voice(scene: Scene, given: dict) -> Prepared:
    voice, text = given.get("voice"), given.get("voice_text", "")
    return speak_with_voice(scene, given.get("image"), given["seconds"], voice, text)


def _follow_sound(scene: Scene, given: dict) -> Prepared:
    seconds = given["seconds"] if given["length"] == SET_LENGTH else None
    return follow_sound(scene, given.get("image"), given.get("sound"), seconds, given.get("sound_text", ""))


def _dub(scene: Scene, given: dict) -> Prepared:
    return dub(scene, given["video"])


def _continue(scene: Scene, given: dict) -> Prepared:
    notices = []
    if given.get("voice") is not None:
        scene, notices = with_voice(scene, given["voice"], given.get("voice_text", ""))
    plan = Continuation(
        given["keep_seconds"], given["seconds"], given["result"] == WHOLE, text=given.get("kept_text", "")
    )
    prepared = continue_clip(scene, given["video"], plan, given.get("image"))
    return Prepared(prepared.scene, prepared.latent, prepared.given, (*notices, *prepared.notices))


TASKS: dict[str, Callable[[Scene, dict], Prepared]] = {
    "speak": _speak,
    "speak with a voice": _speak_with_voice,
    "follow a sound": _follow_sound,
    "dub a video": _dub,
    "continue a clip": _continue,
}


class Task(io.ComfyNode):
    """Sets up one of the five tasks."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenTask",
            display_name="UniAVGen Task",
            category="UniAVGen/conditioning",
            description="Sets up what is given and what is generated: speech from a transcript, in a reference voice, "
            "a picture for a sound, a sound for a video, or what comes after a clip.",
            inputs=[
                io.Conditioning.Input("positive", tooltip="Caption and transcript."),
                io.Conditioning.Input("negative"),
                video_codec_input(),
                size_input(),
                io.DynamicCombo.Input("task", options=task_options(), tooltip="What is given, and what is generated."),
                io.Boolean.Input(
                    "as_released",
                    default=False,
                    optional=True,
                    advanced=True,
                    tooltip="As the release: all texts reach the model exactly as they are written, and with a "
                    "reference voice the later null passes run both directions, which looks like a slip. For repeating "
                    "the release's own examples.",
                ),
            ],
            outputs=[
                io.Conditioning.Output(display_name="positive"),
                io.Conditioning.Output(display_name="negative"),
                io.Latent.Output(display_name="latent"),
                GivenType.Output(
                    display_name="given",
                    tooltip="For 'UniAVGen Decode', which puts it back untouched, and for 'UniAVGen Save Video', which "
                    "keeps it in the file.",
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, input_types: dict, size: dict | None = None, task: dict | None = None) -> bool | str:
        del size, task  # ComfyUI hands over what a group's name stands for
        return links_error(cls, input_types) or True

    @classmethod
    def execute(
        cls, positive, negative, video_codec, size: dict, task: dict, as_released: bool = False
    ) -> io.NodeOutput:
        require_video_codec(video_codec)
        positive = with_original_transcripts(positive) if as_released else positive
        chosen = chosen_size(size, task.get("seconds", SHORTEST))
        prepared = TASKS[task["task"]](Scene(positive, negative, video_codec, chosen, as_released), task)
        scene, image = prepared.scene, task.get("image")
        seen = prepared.given.source.frames if image is None and prepared.given.source else image
        notices = [*prepared.notices, *batch_notices(image, "the image"), *photograph_notices(video_codec, seen)]
        return with_notices(notices, scene.positive, scene.negative, prepared.latent, prepared.given)
