"""One node for all tasks of the model: what is given, and what is generated."""

from comfy_api.latest import io

from ..uniavgen_core.media.faces.mouth_regions import REGIONS
from ..uniavgen_core.tasks import AUDIO_DRIVEN, CONTINUATION, DUBBING, JOINT, REFERENCE_VOICE, RELIP, TASKS
from .host.conditioning.pass_settings import Surroundings, with_original_transcripts
from .host.conditioning.spoken_texts import WITHOUT_WORDS
from .host.media.drawn_pictures import photograph_notices
from .host.media.footage import batch_notices
from .host.media.vae_sockets import links_error, require_video_vae, video_vae_input
from .host.media.vaes import TiledVideoVAE
from .host.notices import with_notices
from .host.tasks.audio_driven_setup import MATCH_AUDIO, SET_SECONDS, prepare_audio_driven
from .host.tasks.continuation_setup import FROM_KEPT_PART, WHOLE_CLIP, ContinuationInputs, prepare_continuation
from .host.tasks.dubbing_setup import prepare_dubbing
from .host.tasks.joint_setup import prepare_joint, prepare_reference_voice
from .host.tasks.relip_setup import FACE_CROP, FULL_FRAME, RelipInputs, prepare_relip
from .host.tasks.task_scene import Scene
from .sockets import (
    SHORTEST,
    SIZES,
    aliases,
    chosen_size,
    conditioning_inputs,
    prepared_outputs,
    size_input,
    text_input,
    trained_seconds_input,
    unknown_option,
)

DUBBED = (
    "The video to dub. 'UniAVGen Decode' returns its frames bit for bit, and 'UniAVGen Save Video' copies its stream."
)
CONTINUED = "The clip to continue. 'UniAVGen Decode' returns it bit for bit; a saved file encodes it again."
RELIPPED = (
    "The video to change. 'UniAVGen Decode' returns it at its own size and frame rate; pixels outside the region stay "
    "bit for bit."
)
PERSON = "The person, and the first frame. Without an image, the caption alone describes the person."


def joint_sockets() -> list[io.Input]:
    """Sockets of joint generation."""
    return [_image(PERSON), trained_seconds_input("seconds", "Length of the clip.")]


def reference_voice_sockets() -> list[io.Input]:
    """Sockets of generation in a reference voice."""
    return [*joint_sockets(), *_voice()]


def audio_driven_sockets() -> list[io.Input]:
    """Sockets of audio-driven generation."""
    return [
        _image(PERSON),
        io.Audio.Input(
            "audio",
            optional=True,
            tooltip="Speech or singing that drives the lips; saved without loss. Enter its words in audio_transcript.",
        ),
        io.Combo.Input(
            "length",
            options=[MATCH_AUDIO, SET_SECONDS],
            tooltip="Length of the clip: that of the audio, or the one set in seconds.",
        ),
        trained_seconds_input(
            "seconds",
            "Length of the clip if it is set in seconds. Longer audio is cut; after shorter audio, more is generated.",
        ),
        text_input(
            "audio_transcript",
            "What is said in the audio, word for word, unless 'UniAVGen Speech Text' has it. If the audio is cut, "
            "only the words that remain. "
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
        trained_seconds_input("keep_seconds", "Length of the clip's end that the model sees."),
        trained_seconds_input("seconds", "Length of what is generated after it."),
        io.Combo.Input(
            "result",
            options=[WHOLE_CLIP, FROM_KEPT_PART],
            tooltip="The whole clip with its continuation, or only the kept part and the continuation.",
        ),
        text_input("kept_transcript", "What is said in the kept part, if anything."),
        _image("The person. Without an image, the clip's first frame is taken."),
        *_voice(),
    ]


def relip_sockets() -> list[io.Input]:
    """Sockets of new lips in a video."""
    return [
        io.Video.Input("video", tooltip=RELIPPED),
        io.Combo.Input(
            "region",
            options=list(REGIONS),
            tooltip="The part of the main face that is generated, unless a mask is connected.",
        ),
        io.Mask.Input(
            "mask",
            optional=True,
            tooltip="The part that is generated, such as a face other than the main one: one mask, or one per frame.",
        ),
        io.Audio.Input(
            "audio",
            optional=True,
            tooltip="Audio that drives the lips and is kept sample for sample. Without it, the transcript is spoken.",
        ),
        text_input("audio_transcript", "What is said in that audio."),
        *_voice("Without it, the video's own voice is cloned."),
        io.Combo.Input(
            "view",
            options=[FACE_CROP, FULL_FRAME],
            advanced=True,
            tooltip="What the model works on: a square crop around the face or the mask, which gives small faces "
            "more detail, or the full frame.",
        ),
        io.Combo.Input(
            "surroundings",
            options=[way.value for way in Surroundings],
            advanced=True,
            tooltip="How the model sees the kept part. auto: suits the model. clean: without noise, for models trained "
            "that way. blended: noised to the level of each step (blended diffusion), which works with any model.",
        ),
    ]


def _image(tooltip: str) -> io.Input:
    return io.Image.Input("image", optional=True, tooltip=tooltip)


def _voice(about: str = "") -> list[io.Input]:
    tooltip = "Reference voice: 1 to 10 seconds of someone speaking; any sample rate, mono or stereo."
    return [
        io.Audio.Input("voice", optional=True, tooltip=f"{tooltip} {about}".strip()),
        text_input(
            "voice_transcript",
            "What is said in that recording, word for word. Without it the voice is cloned less well.",
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


def with_trained_lengths(task: dict, video_vae: TiledVideoVAE) -> dict:
    """A task's values, with those that the model was trained at where a length is 0."""
    kept = video_vae.kept_seconds if task.get("keep_seconds") == 0 else task.get("keep_seconds", 0.0)
    own = {"keep_seconds": kept, "seconds": video_vae.seconds - kept}
    return task | {name: seconds for name, seconds in own.items() if task.get(name) == 0}


def task_input() -> io.Input:
    """The tasks to choose from, each with the inputs it needs."""
    titles = "; ".join(f"{name}: {task.title}" for name, task in TASKS.items())
    return io.DynamicCombo.Input(
        "task",
        options=[io.DynamicCombo.Option(name, SETUPS[name][0]()) for name in TASKS],
        tooltip=f"The task decides what you provide and what is generated. {titles}.",
    )


class Task(io.ComfyNode):
    """Sets up one task of the model."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="UniAVGenTask",
            display_name="UniAVGen Task",
            category="UniAVGen/conditioning",
            search_aliases=aliases(
                "talking head, lip sync, lipsync, dub, dubbing, TTS, avatar, voice clone, speech, text to speech, "
                "audio video, portrait animation, talking photo, image to video, audio driven, video to audio, "
                "continuation, digital human, 数字人, 对口型, 口型同步, 配音, 语音合成, 声音克隆, 说话人头像, "
                "肖像动画"
            ),
            description="Sets up a task: image to talking video, with a reference voice too; lip-sync to audio; video "
            "dubbing; continuation of a clip; or new words and lips in a video.",
            inputs=[
                *conditioning_inputs(),
                video_vae_input(),
                size_input(),
                task_input(),
                io.Boolean.Input(
                    "as_released",
                    default=False,
                    optional=True,
                    advanced=True,
                    tooltip="Reproduces the release exactly: texts are not preprocessed, and with a reference voice "
                    "its later unconditional passes use both directions (probably a bug in the release).",
                ),
            ],
            outputs=prepared_outputs(),
        )

    @classmethod
    def validate_inputs(cls, input_types: dict, size: dict | None = None, task: dict | None = None) -> bool | str:
        fault = unknown_option(task, "task", TASKS) or unknown_option(size, "size", SIZES)
        return fault or links_error(cls, input_types) or True

    @classmethod
    def execute(cls, positive, negative, video_vae, size: dict, task: dict, as_released: bool = False) -> io.NodeOutput:
        require_video_vae(video_vae)
        _, prepare = SETUPS[task["task"]]
        positive = with_original_transcripts(positive) if as_released else positive
        task = with_trained_lengths(task, video_vae)
        chosen = chosen_size(size, task.get("seconds", SHORTEST))
        scene = Scene(positive, negative, video_vae, chosen, as_released)
        prepared = prepare(scene, **{name: task[name] for name in task if name != "task"})
        image, media = task.get("image"), prepared.source_media
        shown = media.source.frames if image is None else image
        notices = [*prepared.notices, *batch_notices(image, "the image"), *photograph_notices(video_vae, shown)]
        return with_notices(notices, prepared.scene.positive, prepared.scene.negative, prepared.latent, media)
