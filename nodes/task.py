"""One node for all tasks of the model: what is given, and what is generated."""

from comfy_api.latest import io

from ..uniavgen_core.tasks import AUDIO_DRIVEN, CONTINUATION, DUBBING, JOINT, REFERENCE_VOICE, TASKS
from .host.conditioning.pass_settings import with_original_transcripts
from .host.media.codec_sockets import links_error, require_video_codec, video_codec_input
from .host.media.drawn_pictures import photograph_notices
from .host.media.footage import batch_notices
from .host.notices import with_notices
from .host.tasks.audio_driven_setup import prepare_audio_driven
from .host.tasks.continuation_setup import prepare_continuation
from .host.tasks.dubbing_setup import prepare_dubbing
from .host.tasks.joint_setup import prepare_joint, prepare_reference_voice
from .host.tasks.task_scene import Scene
from .sockets import SHORTEST, chosen_size, prepared_outputs, size_input
from .task_sockets import (
    audio_driven_sockets,
    continuation_sockets,
    dubbing_sockets,
    joint_sockets,
    reference_voice_sockets,
)

SETUPS = {
    JOINT.name: (joint_sockets, prepare_joint),
    REFERENCE_VOICE.name: (reference_voice_sockets, prepare_reference_voice),
    AUDIO_DRIVEN.name: (audio_driven_sockets, prepare_audio_driven),
    DUBBING.name: (dubbing_sockets, prepare_dubbing),
    CONTINUATION.name: (continuation_sockets, prepare_continuation),
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
            "in a reference voice too; lip-sync to a sound, speech for a video, or what comes after a clip.",
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
        del size, task  # ComfyUI hands over what a group's name stands for
        return links_error(cls, input_types) or True

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
        shown = media.source.frames if image is None and media.source else image
        notices = [*prepared.notices, *batch_notices(image, "the image"), *photograph_notices(video_codec, shown)]
        return with_notices(notices, prepared.scene.positive, prepared.scene.negative, prepared.latent, media)
