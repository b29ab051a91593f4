"""One node for all tasks of the model: what is given, and what is generated."""

from comfy_api.latest import io

from ..uniavgen_core.media.faces.mouth_regions import REGIONS
from ..uniavgen_core.tasks import AUDIO_DRIVEN, CONTINUATION, DUBBING, JOINT, REFERENCE_VOICE, RELIP, TASKS
from .host.conditioning.pass_settings import Surroundings, with_original_transcripts
from .host.conditioning.spoken_texts import WITHOUT_WORDS
from .host.media.codec_sockets import links_error, require_video_codec, video_codec_input
from .host.media.drawn_pictures import photograph_notices
from .host.media.footage import batch_notices
from .host.notices import with_notices
from .host.tasks.audio_driven_setup import SET_LENGTH, SOUND_LENGTH, prepare_audio_driven
from .host.tasks.continuation_setup import NEW, WHOLE, ContinuationInputs, prepare_continuation
from .host.tasks.dubbing_setup import prepare_dubbing
from .host.tasks.joint_setup import prepare_joint, prepare_reference_voice
from .host.tasks.relip_setup import AROUND_FACE, WHOLE_PICTURE, RelipInputs, prepare_relip
from .host.tasks.task_scene import Scene
from .sockets import (
    SHORTEST,
    SIZES,
    chosen_size,
    prepared_outputs,
    seconds_input,
    size_input,
    text_input,
    unknown_option,
)

DUBBED = "The video to dub. Decode returns its frames bit for bit, and 'UniAVGen Save Video' copies its video stream."
CONTINUED = "The clip to continue. Decode returns it bit for bit; the saved file encodes it again."
RELIPPED = "The video. Decode returns it at its own size and rate, with every pixel outside the region bit for bit."
PERSON = "The person, and the first frame. Without one, the caption alone says who it is."


def joint_sockets() -> list[io.Input]:
    """Sockets of joint generation."""
    return [_image(PERSON), seconds_input("seconds", 2.0625, "Length of the clip.")]


def reference_voice_sockets() -> list[io.Input]:
    """Sockets of generation in a reference voice."""
    return [*joint_sockets(), *_voice()]


def audio_driven_sockets() -> list[io.Input]:
    """Sockets of audio-driven generation."""
    return [
        _image(PERSON),
        io.Audio.Input(
            "sound",
            optional=True,
            tooltip="The sound that drives the lips. Decode returns it sample for sample, and 'UniAVGen Save "
            "Video' stores it without loss. Write down what is said in it: see sound_text.",
        ),
        io.Combo.Input("length", options=[SOUND_LENGTH, SET_LENGTH], tooltip="How long the clip becomes."),
        seconds_input(
            "seconds", 2.0625, "Length where it is set: a longer sound is cut, after a shorter one more is generated."
        ),
        text_input(
            "sound_text",
            "The words of the sound, as they are spoken; needed also when nothing is generated after it, "
            "unless 'UniAVGen Speech Text' has them. Of a sound that is cut, only the words that are left. "
            f"{WITHOUT_WORDS}",
        ),
    ]


def dubbing_sockets() -> list[io.Input]:
    """Sockets of video dubbing."""
    return [io.Video.Input("video", tooltip=DUBBED)]


def continuation_sockets() -> list[io.Input]:
    """Sockets of continuation."""
    return [
        io.Video.Input("video", tooltip=CONTINUED),
        seconds_input("keep_seconds", 0.5625, "How much of its end the model sees."),
        seconds_input("seconds", 1.5, "How much is generated after it."),
        io.Combo.Input("result", options=[WHOLE, NEW], tooltip="What the result holds."),
        text_input("kept_text", "What the kept part says, if anything."),
        _image("The person; without one, the clip's first frame."),
        *_voice(),
    ]


def relip_sockets() -> list[io.Input]:
    """Sockets of new lips in a video."""
    return [
        io.Video.Input("video", tooltip=RELIPPED),
        io.Combo.Input(
            "region",
            options=list(REGIONS),
            tooltip="Part of the main face that is generated, unless a mask is connected.",
        ),
        io.Mask.Input(
            "mask",
            optional=True,
            tooltip="The part that is generated: one mask, or one for each frame. For any face but the main one.",
        ),
        io.Audio.Input(
            "sound",
            optional=True,
            tooltip="Audio that drives the lips and is kept sample for sample. Without it, the transcript is spoken.",
        ),
        text_input("sound_text", "The words of that sound."),
        *_voice("The voice that speaks; without one, the video's own."),
        io.Combo.Input(
            "view",
            options=[AROUND_FACE, WHOLE_PICTURE],
            advanced=True,
            tooltip="Crop that the model works on. around the face: a square around the face or the mask, so that "
            "small faces get more detail. the whole picture: no crop.",
        ),
        io.Combo.Input(
            "surroundings",
            options=[way.value for way in Surroundings],
            advanced=True,
            tooltip="How the kept part enters the model. clean: without noise, for models that were trained this way. "
            "blended: noised to the level of each step (blended diffusion), which works with any model.",
        ),
    ]


def _image(tooltip: str) -> io.Input:
    return io.Image.Input("image", optional=True, tooltip=tooltip)


def _voice(about: str = "") -> list[io.Input]:
    tooltip = "1 to 10 seconds of someone speaking; any rate, mono or stereo."
    return [
        io.Audio.Input("voice", optional=True, tooltip=f"{tooltip} {about}".strip()),
        text_input(
            "voice_text", "What the reference voice says, word for word. Without it the voice is copied less well."
        ),
    ]


SETUPS = {
    JOINT.name: (joint_sockets, prepare_joint),
    REFERENCE_VOICE.name: (reference_voice_sockets, prepare_reference_voice),
    AUDIO_DRIVEN.name: (audio_driven_sockets, prepare_audio_driven),
    DUBBING.name: (dubbing_sockets, prepare_dubbing),
    CONTINUATION.name: (
        continuation_sockets,
        lambda scene, **sockets: prepare_continuation(scene, ContinuationInputs(**sockets)),
    ),
    RELIP.name: (relip_sockets, lambda scene, **sockets: prepare_relip(scene, RelipInputs(**sockets))),
}
"""Of each task in ``TASKS``: the function that makes its sockets, and the one that takes a scene and their values."""


def task_input() -> io.Input:
    """The tasks to choose from, each with the inputs it needs; ``web/option_titles.js`` shows their titles."""
    titles = {name: task.title for name, task in TASKS.items()}
    return io.DynamicCombo.Input(
        "task",
        options=[io.DynamicCombo.Option(name, SETUPS[name][0]()) for name in TASKS],
        tooltip=f"What is given, and what is generated. {'; '.join(f'{name}: {titles[name]}' for name in titles)}.",
        extra_dict={"uniavgen_titles": titles},
    )


class Task(io.ComfyNode):
    """Sets up one task of the model."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenTask",
            display_name="UniAVGen Task",
            category="UniAVGen/conditioning",
            description="Sets up what is given and what is generated: a talking video from an image and a transcript, "
            "in a reference voice too; lip-sync to a sound, speech for a video, what comes after a clip, or new words "
            "and lips in a video.",
            inputs=[
                io.Conditioning.Input("positive", tooltip="Caption and transcript."),
                io.Conditioning.Input("negative"),
                video_codec_input(),
                size_input(),
                task_input(),
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
            outputs=prepared_outputs(),
        )

    @classmethod
    def validate_inputs(cls, input_types: dict, size: dict | None = None, task: dict | None = None) -> bool | str:
        fault = unknown_option(task, "task", TASKS) or unknown_option(size, "size", SIZES)
        return fault or links_error(cls, input_types) or True

    @classmethod
    def execute(
        cls, positive, negative, video_codec, size: dict, task: dict, as_released: bool = False
    ) -> io.NodeOutput:
        require_video_codec(video_codec)
        _, prepare = SETUPS[task["task"]]
        positive = with_original_transcripts(positive) if as_released else positive
        chosen = chosen_size(size, task.get("seconds", SHORTEST))
        scene = Scene(positive, negative, video_codec, chosen, as_released)
        prepared = prepare(scene, **{name: task[name] for name in task if name != "task"})
        image, media = task.get("image"), prepared.source_media
        shown = media.source.frames if image is None else image
        notices = [*prepared.notices, *batch_notices(image, "the image"), *photograph_notices(video_codec, shown)]
        return with_notices(notices, prepared.scene.positive, prepared.scene.negative, prepared.latent, media)
