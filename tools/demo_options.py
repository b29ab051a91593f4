"""The demo's command line. Standard library only: it is read before anything is installed."""

import os
import re
from argparse import ArgumentParser, ArgumentTypeError, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from pathlib import Path

from uniavgen_core.diffusion.sampling_presets import PRESETS, TOON_STEPS
from uniavgen_core.tasks import AUDIO_DRIVEN, CONTINUATION, DUBBING, JOINT, REFERENCE_VOICE, RELIP, TASKS, Keep, Task

MODELS = {
    "model": ("diffusion_models", "unet"),
    "text_encoder": ("text_encoders", "clip"),
    "video_vae": ("vae",),
}
"""ComfyUI's folders of each model file, the usual one first."""
BUNDLED = "bundled"
WEIGHTS = (".safetensors", ".sft", ".pth", ".pt", ".ckpt", ".bin")
DETAILS = {
    JOINT.name: "picture and speech from --image, --caption and --speech",
    REFERENCE_VOICE.name: "the same in the voice of --audio; --audio-transcript is what that voice says",
    AUDIO_DRIVEN.name: "the picture lip-synced to --audio, of any length, which is in the file sample for "
    "sample\n(FLAC, 16 or 24 bits); --audio-transcript is what is said in it, and without it the "
    "mouth opens less",
    DUBBING.name: "speech for the video --video, of any length, whose video stream is copied, not re-encoded",
    CONTINUATION.name: "what comes after the clip --video, from its last --keep-seconds on; all frames are encoded\n"
    "(H.264, CRF 12)",
    RELIP.name: "new lips for the face in --video, which says --speech in its own voice, or lip-syncs to "
    "--audio;\n--audio-transcript is what is said in that. Around the mouth the frames stay unchanged",
}
"""Meaning of the options for a task, by the task's name."""
NOTES = """--script with the task {scripted} makes a video as long as its script. What is not given is an
example of the pack's. Any picture, sound and video file is taken, and none is changed."""

STEPS = f"sampling steps (default: {TOON_STEPS}; with --model {PRESETS['release'].steps}, and guidance as the release)"


def options_of(task: Task) -> set[str]:
    """The options of a task that not all tasks have."""
    options = {"speech"}
    if task.video not in (Keep.ALL, Keep.AROUND):
        options |= {"image", "seconds"}
    if task.video in (Keep.START, Keep.ALL, Keep.AROUND):
        options.add("video")
    if task.audio is Keep.ALL or task.reference_voice or task.video is Keep.AROUND:
        options |= {"audio", "audio_transcript"}
    if Keep.START in (task.video, task.audio):
        options.add("keep_seconds")
    if (task.video, task.audio) == (Keep.FIRST, Keep.NOTHING):
        options.add("script")
    return options


def parse(arguments: Sequence[str]) -> Namespace:
    """Read the demo's options; those that were not given are None, and the workflow's own values stay.

    Raises:
        SystemExit: After printing help, or what is wrong.
    """
    parser = _parser()
    options = parser.parse_args(list(arguments))
    fault = _fault(options)
    if fault:
        parser.error(fault)
    return options


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="dev.py demo",
        description="Runs a template's workflow in a real ComfyUI; writes a video with audio and a contact sheet.",
        epilog=_epilog(),
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("--task", choices=TASKS, default=JOINT.name, help="see below (default: %(default)s)")
    _add_media(parser)
    _add_settings(parser)
    parser.add_argument("--output", type=Path, default=Path("output"), help="folder for the results (default: output)")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line of stdout")
    parser.set_defaults(in_segments=False)
    parser.add_argument("--cache", metavar="DIR", help="folder for ComfyUI and the Python environment")
    return parser


def _epilog() -> str:
    """Explanation of the tasks."""
    lines = ["tasks:"]
    for name, task in TASKS.items():
        lines += [f"  {name}: {task.title}", *(f"    {line}" for line in DETAILS.get(name, "").splitlines())]
    return "\n".join([*lines, "", NOTES.format(scripted=" or ".join(_tasks_with("script")))])


def _tasks_with(option: str) -> list[str]:
    return [name for name, task in TASKS.items() if option in options_of(task)]


def _add_media(parser: ArgumentParser) -> None:
    """Options for media and texts."""
    parser.add_argument("--image", type=_file, help="picture of the person")
    parser.add_argument("--audio", type=_file, help="the reference voice, or the audio that drives the lips")
    parser.add_argument("--audio-transcript", type=_text, help="what is said in --audio, word for word")
    parser.add_argument("--video", type=_file, help="the video that gets speech or new lips, or the clip to continue")
    parser.add_argument("--caption", type=_text, help="what the scene shows")
    parser.add_argument("--speech", type=_text, help="what the person says")
    parser.add_argument("--script", type=_script, help="a longer text to say, or a text file; a segment a line")


def _add_settings(parser: ArgumentParser) -> None:
    """Options for numbers and models."""
    seconds = _between(float, 0.3125, 120)
    parser.add_argument(
        "--seconds", type=seconds, help="length; continuation: of what is new; --script: of a segment, at most"
    )
    parser.add_argument("--keep-seconds", type=seconds, help="continuation, --script: how much of the end is kept")
    parser.add_argument("--width", type=_size, help="width, pixels, a multiple of 32 (default: as the picture)")
    parser.add_argument("--height", type=_size, help="height; with one side alone the clip is square")
    parser.add_argument("--steps", type=_between(int, 1, 1000), help=STEPS)
    parser.add_argument("--seed", type=_between(int, 0, 2**64 - 1), help="seed of the noise")
    name = "a file, or a name in the folder models/{} of the ComfyUI that COMFYUI_PATH names (default: bundled)"
    for option, folders in MODELS.items():
        parser.add_argument(_option(option), type=_weights(folders), metavar="FILE", help=name.format(folders[0]))


def _fault(options: Namespace) -> str | None:
    """Why options do not go together; None if they do."""
    task = TASKS[options.task]
    has, what = options_of(task), f"--task {task.name}"
    if options.script is not None and "script" in has:
        has, what = has - {"speech"} | {"keep_seconds"}, "--script"
    for name in sorted(set().union(*map(options_of, TASKS.values())) - has):
        if getattr(options, name) is not None:
            return f"{_option(name)} does not belong to {what}; {_belongs(name)}"
    if options.audio_transcript is not None and options.audio is None:
        return "--audio-transcript is what is said in --audio, which is missing"
    if options.script is not None and task.reference_voice and options.audio is None:
        return f"--script with --task {task.name} needs --audio, the voice"
    return None


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _belongs(name: str) -> str:
    """Description of the tasks that an option belongs to."""
    if name == "speech":
        return "the script is what the person says"
    tasks = " or ".join(_tasks_with(name))
    return f"it belongs to --task {tasks}" + (", and to --script" if name == "keep_seconds" else "")


def _between(kind: type, low: float, high: float) -> Callable[[str], float]:
    def convert(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            raise ArgumentTypeError(f"{text!r} is not a number of the kind {kind.__name__}") from None
        if not low <= value <= high:
            raise ArgumentTypeError(f"{text} is not between {low} and {high}")
        return value

    return convert


def _size(text: str) -> int:
    value = int(_between(int, 32, 4096)(text))
    if value % 32:
        lower = value // 32 * 32
        raise ArgumentTypeError(f"{value} is not a multiple of 32; the nearest are {lower} and {lower + 32}")
    return value


def _text(text: str) -> str:
    if not text.strip():
        raise ArgumentTypeError("the text is empty")
    return text


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # longer than a file's name can be
        return False


def _file(text: str) -> Path:
    path = Path(text).expanduser()
    if not _is_file(path):
        raise ArgumentTypeError(f"there is no file {text}")
    return path


def _script(text: str) -> str:
    """A text, or what a text file holds."""
    path = Path(text).expanduser()
    if not _is_file(path):
        if re.fullmatch(r"\S+\.(txt|md|text)|[~./]\S*/\S+", text):
            raise ArgumentTypeError(f"there is no file {text}")
        return _text(text)
    try:
        return _text(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError:
        raise ArgumentTypeError(f"{text} is not text in UTF-8; save it as that") from None


def _weights(folders: Sequence[str]) -> Callable[[str], Path | None]:
    """Converter from a path, or a name in ComfyUI's model folders, to a path; from the bundled model's name to None."""

    def convert(text: str) -> Path | None:
        if text == BUNDLED:
            return None
        comfyui = os.environ.get("COMFYUI_PATH")
        known = [Path(comfyui).expanduser() / "models" / folder for folder in folders] if comfyui else []
        found = [path for path in (Path(text).expanduser(), *(folder / text for folder in known)) if _is_file(path)]
        if not found:
            looked = "".join(f", nor in {folder}" for folder in known)
            raise ArgumentTypeError(f"there is no file {text}{looked}; it is one file with all tensors, or '{BUNDLED}'")
        if found[0].suffix.lower() not in WEIGHTS:
            raise ArgumentTypeError(f"{text} is not named as a model; use one of {', '.join(WEIGHTS)}")
        return found[0]

    return convert
