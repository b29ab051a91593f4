"""Puts the demo's options into a template: texts and numbers, and the user's files in the place of the examples."""

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

from uniavgen_core.diffusion.sampling_presets import PRESETS, TOON
from uniavgen_core.tasks import DUBBING, JOINT, TASKS, Keep

from .demo_options import MODELS
from .template_titles import api_file
from .workflow import Workflow, add_node, bypass_node, has_node, replace_node, set_input, set_value

QUICK_START = "quick_start"
"""Template of joint generation; that of any other task has the task's name."""
LONG_VIDEO, LONG_DUBBING = "long_video", "long_dubbing"
TASK, LONG, SPEECH = "Task", "Long video", "Speech"  # titles of nodes
LONG_INPUTS = {
    "script": (LONG, "script"),
    "seconds": (LONG, "segment_seconds"),
    "keep_seconds": (LONG, "keep_seconds"),
    "audio_transcript": (LONG, "voice_transcript"),
}
TASK_INPUTS = {
    "speech": (SPEECH, "transcript"),
    "seconds": (TASK, "task.seconds"),
    "keep_seconds": (TASK, "task.keep_seconds"),
    "audio_transcript": (TASK, "task.voice_transcript"),
}
MODEL_WIDGETS = {"model": "model_name", "text_encoder": "text_encoder", "video_vae": "video_vae"}
"""Widget of a loader that each option for a model file sets."""
LOADERS = {
    "Image": ("LoadImage", "image", 0),
    "Video": ("LoadVideo", "file", 0),
    "Voice": ("LoadAudio", "audio", 1),
    "Audio": ("LoadAudio", "audio", 1),
}
"""By the title of a template's example: the node that reads the user's file, its widget, and the output of the example
that the template uses. The task's input has the title's name in small letters."""
Offer = Callable[[Path, str], str]
"""Makes a file known to a server, in its folder ``input`` or in one of its model folders; gives its name there."""


def template_of(options: Namespace) -> Path:
    """The API workflow that options ask for."""
    name = QUICK_START if options.task == JOINT.name else options.task
    if is_long(options):
        name = LONG_DUBBING if options.task == DUBBING.name else LONG_VIDEO
    return api_file(name)


def is_long(options: Namespace) -> bool:
    """Return True if the result has several segments: for a script, or for a sound or a video longer than one."""
    return options.script is not None or options.in_segments


def prepare(workflow: Workflow, options: Namespace, offer: Offer) -> Workflow:
    """Put every option that was given into a copy of its template, that of `template_of`.

    Raises:
        DevError: A node of the template lacks the title it is found by.
    """
    for name, value in _sampling(options).items():
        workflow = set_value(workflow, name, value)
    for name, widget in MODEL_WIDGETS.items():
        if getattr(options, name) is not None:
            workflow = set_value(workflow, widget, offer(getattr(options, name), MODELS[name][0]))
    for title, name, value in [*_common_values(options), *_task_values(options)]:
        workflow = set_input(workflow, title, name, value)
    if lacks_words(options) and not is_long(options):
        workflow = bypass_node(workflow, SPEECH, "conditioning")  # the example's words are not in the user's sound
    for title, path in _files(options):
        workflow = _put_file(workflow, title, offer(path, "input"), options)
    return workflow


def _sampling(options: Namespace) -> dict[str, Any]:
    """Values for the sampler; steps that are given come with the guidance that suits the model."""
    seed = {} if options.seed is None else {"seed": options.seed}
    if options.steps is None:
        return seed
    guidance = (TOON if options.model is None else PRESETS["release"]).guidance
    scales = {"video_guidance": guidance.video_scale, "audio_guidance": guidance.audio_scale}
    return {"preset": "custom", "steps": options.steps, **scales, **seed}


def lacks_words(options: Namespace) -> bool:
    """Return True if a sound of the user's drives the clip and its words are not given."""
    silent = options.speech is None and options.audio_transcript is None
    return _keeps_sound(options) and bool(options.audio) and silent


def _keeps_sound(options: Namespace) -> bool:
    task = TASKS[options.task]
    return task.audio is Keep.ALL or (task.video is Keep.AROUND and bool(options.audio))


def _common_values(options: Namespace) -> list[tuple[str, str, Any]]:
    """As `_task_values`, for caption and size; a side alone makes a square, and none leaves the picture's size."""
    values = [] if options.caption is None else [("Caption", "text", options.caption)]
    sides = [side for side in (options.width, options.height) if side is not None]
    if sides:
        title = LONG if is_long(options) else TASK
        size = {"size": "custom", "size.width": sides[0], "size.height": sides[-1], "size.fit": "crop"}
        values += [(title, name, value) for name, value in size.items()]
    return values


def _task_values(options: Namespace) -> list[tuple[str, str, Any]]:
    """Title of the node, name of the input, and value of each option that goes into the task."""
    inputs = LONG_INPUTS if is_long(options) else TASK_INPUTS
    given = {name: getattr(options, name) for name in inputs if getattr(options, name) is not None}
    if options.in_segments:
        words = options.audio_transcript or options.speech
        keeps_example = words is None and not _keeps_sound(options)
        return [] if keeps_example else [(*LONG_INPUTS["script"], words or "")]
    if _keeps_sound(options):
        return _kept_sound_values(given)
    if options.audio:
        given.setdefault("audio_transcript", "")  # the example's words are not in the user's voice
    return [(*inputs[name], value) for name, value in given.items()]


def _kept_sound_values(given: dict[str, Any]) -> list[tuple[str, str, Any]]:
    """As `_task_values`, for a sound: its words are the clip's, unless others are said after it."""
    values = []
    if "audio_transcript" in given:
        values += [(TASK, "task.audio_transcript", given["audio_transcript"])]
    if "speech" in given or "audio_transcript" in given:
        values += [(*TASK_INPUTS["speech"], given.get("speech") or given["audio_transcript"])]
    if "seconds" in given:
        values += [(TASK, "task.length", "set_seconds"), (*TASK_INPUTS["seconds"], given["seconds"])]
    return values


def _files(options: Namespace) -> list[tuple[str, Path]]:
    """Files that were given, each with the title of the example that it replaces."""
    audio = "Audio" if _keeps_sound(options) else "Voice"
    pairs = [("Image", options.image), ("Video", options.video), (audio, options.audio)]
    return [(title, path) for title, path in pairs if path]


def _put_file(workflow: Workflow, title: str, name: str, options: Namespace) -> Workflow:
    """Load a file in the place of an example, or where the template has none, besides it all."""
    loader, widget, output = LOADERS[title]
    if has_node(workflow, title):
        return replace_node(workflow, title, loader, {widget: name}, output)
    into = (LONG, title.lower()) if is_long(options) else (TASK, f"task.{title.lower()}")
    return add_node(workflow, title, loader, {widget: name}, into)
