"""Puts the demo's options into a template: texts and numbers, and the user's files in the place of the examples.

Standard library only.
"""

from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uniavgen_core.tasks import JOINT, TASKS, Keep

from .environment import ROOT
from .workflow import Slot, Workflow, add_node, bypass_node, has_node, replace_node, set_input, set_value

TEMPLATES = ROOT / "workflows" / "api"
QUICK_START = "quick_start"
"""Template of joint generation; that of any other task has the task's name."""
LONG_VIDEO = "long_video"
TASK, LONG, SPEECH = "Task", "Long video", "Speech"  # titles of nodes
SEED = (Slot(("seed", "noise_seed")),)
COMMON = {
    "caption": (Slot(("text", "caption"), "Caption"),),
    "steps": (Slot(("steps",)),),
    "seed": SEED,
}
LONG_INPUTS = {
    "script": (LONG, "script"),
    "seconds": (LONG, "segment_seconds"),
    "keep_seconds": (LONG, "keep_seconds"),
    "audio_text": (LONG, "voice_text"),
}
TASK_INPUTS = {
    "speech": (SPEECH, "transcript"),
    "seconds": (TASK, "task.seconds"),
    "keep_seconds": (TASK, "task.keep_seconds"),
    "audio_text": (TASK, "task.voice_text"),
}
MODEL_INPUTS = {
    "model": ("diffusion_models", Slot(("model_name",))),
    "text_encoder": ("text_encoders", Slot(("text_encoder",))),
    "video_codec": ("vae", Slot(("video_codec",))),
}
"""ComfyUI's model folder, and where the name of the file goes."""
Offer = Callable[[Path, str], str]
"""Makes a file known to a server, in its folder ``input`` or in one of its model folders; gives its name there."""


@dataclass(frozen=True)
class Example:
    """A node of a template that a file of the user's takes the place of.

    Attributes:
        title: Its title.
        output: Which of its outputs the template uses.
        loader: The node that reads the user's file.
        widget: The loader's widget for the file.
        task_input: The task's input that it is linked into.
    """

    title: str
    output: int
    loader: str
    widget: str
    task_input: str


IMAGE = Example("Image", 0, "LoadImage", "image", "image")
VIDEO = Example("Video", 0, "LoadVideo", "file", "video")
VOICE = Example("Voice", 1, "LoadAudio", "audio", "voice")
SOUND = Example("Sound", 1, "LoadAudio", "audio", "sound")


def template_of(options: Namespace) -> Path:
    """The API workflow that options ask for."""
    name = QUICK_START if options.task == JOINT.name else options.task
    return TEMPLATES / f"{LONG_VIDEO if options.script is not None else name}.json"


def prepare(workflow: Workflow, options: Namespace, offer: Offer) -> Workflow:
    """Put every option that was given into its template.

    Args:
        workflow: The template of `template_of`; stays as it is.
        options: What `demo_options.parse` read.
        offer: Makes a file of the user's known to the server.

    Returns:
        The workflow to run.

    Raises:
        DevError: A node of the template lacks the title it is found by.
    """
    for name, slots in COMMON.items():
        if getattr(options, name) is not None:
            workflow = set_value(workflow, slots, getattr(options, name))
    for name, (folder, slot) in MODEL_INPUTS.items():
        if getattr(options, name) is not None:
            workflow = set_value(workflow, [slot], offer(getattr(options, name), folder))
    for title, name, value in [*_size_values(options), *_task_values(options)]:
        workflow = set_input(workflow, title, name, value)
    if lacks_words(options):
        workflow = bypass_node(workflow, SPEECH, "conditioning")  # the example's words are not in the user's sound
    for example, path in _files(options):
        workflow = _put_file(workflow, example, offer(path, "input"), options)
    return workflow


def lacks_words(options: Namespace) -> bool:
    """Whether a sound of the user's drives the clip and nobody has said what is spoken in it."""
    silent = options.speech is None and options.audio_text is None
    return _keeps_sound(options) and bool(options.audio) and silent


def _keeps_sound(options: Namespace) -> bool:
    """Whether the task keeps all of a given sound."""
    return TASKS[options.task].audio is Keep.ALL


def _size_values(options: Namespace) -> list[tuple[str, str, Any]]:
    """As `_task_values`, for a clip's size, which is its picture's if none is given; a side alone makes a square."""
    sides = [side for side in (options.width, options.height) if side is not None]
    if not sides:
        return []
    title = TASK if options.script is None else LONG
    size = {"size": "free", "size.width": sides[0], "size.height": sides[-1], "size.fit": "crop"}
    return [(title, name, value) for name, value in size.items()]


def _task_values(options: Namespace) -> list[tuple[str, str, Any]]:
    """Title of the node, name of the input, and value of each option that goes into the task."""
    inputs = TASK_INPUTS if options.script is None else LONG_INPUTS
    given = {name: getattr(options, name) for name in inputs if getattr(options, name) is not None}
    if _keeps_sound(options):
        return _kept_sound_values(given)
    if options.audio:
        given.setdefault("audio_text", "")  # the example's words are not in the user's voice
    return [(*inputs[name], value) for name, value in given.items()]


def _kept_sound_values(given: dict[str, Any]) -> list[tuple[str, str, Any]]:
    """As `_task_values`, for a sound: its words are the clip's, unless others are said after it."""
    values = []
    if "audio_text" in given:
        values += [(TASK, "task.sound_text", given["audio_text"])]
    if "speech" in given or "audio_text" in given:
        values += [(*TASK_INPUTS["speech"], given.get("speech") or given["audio_text"])]
    if "seconds" in given:
        values += [(TASK, "task.length", "as set in seconds"), (*TASK_INPUTS["seconds"], given["seconds"])]
    return values


def _files(options: Namespace) -> list[tuple[Example, Path]]:
    """Files that were given, each with what it replaces."""
    audio = SOUND if _keeps_sound(options) else VOICE
    pairs = [(IMAGE, options.image), (VIDEO, options.video), (audio, options.audio)]
    return [(example, path) for example, path in pairs if path]


def _put_file(workflow: Workflow, example: Example, name: str, options: Namespace) -> Workflow:
    """Load a file in the place of an example, or where the template has none, besides it all."""
    inputs = {example.widget: name}
    if has_node(workflow, example.title):
        return replace_node(workflow, example.title, example.loader, inputs, example.output)
    into = (TASK, f"task.{example.task_input}") if options.script is None else (LONG, example.task_input)
    return add_node(workflow, example.title, example.loader, inputs, into)
