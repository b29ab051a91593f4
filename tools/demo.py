"""The verb ``demo``: a template's workflow in a real ComfyUI, from a command line to a video file.

Uses av, numpy and Pillow, which ComfyUI brings.
"""

import json
import shutil
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from uniavgen_core.checkpoint.trained_on import BUNDLED_CLIPS, RELEASED_CLIPS
from uniavgen_core.shapes import FPS
from uniavgen_core.tasks import AUDIO_DRIVEN, DUBBING

from . import demo_options
from .comfy_client import ComfyClient
from .comfy_server import ComfyServer
from .console import Console, DevError
from .contact_sheet import read_clip, write_contact_sheet
from .demo_files import check_files, seconds_of_pictures, seconds_of_sound, with_readable_sound
from .demo_tasks import is_long, lacks_words, prepare, template_of
from .environment import current
from .workflow import Workflow, read_workflow, value_of

LONGEST_RUN = 24 * 3600  # seconds
NOTICE_EVENT = "uniavgen.notice"  # what the pack says while a node runs
NO_WORDS = (
    "Nothing says which words are in --audio. The model was trained with them, and without them the mouth opens less, "
    "with the bundled model by 12 %. Give them with --audio-transcript."
)
PATIENCE = 60.0  # seconds that a stopped workflow has to end, and its finished segments to be joined
VIDEOS = (".mp4", ".mkv")
FINISHED = "output/uniavgen/**/finished_so_far.mp4"  # what a stopped long video leaves in the server's folder
SEGMENTS = "output/uniavgen/**/segment_*"


def main(arguments: Sequence[str], console: Console) -> int:
    """Run the demo with arguments of `demo_options.parse`, and return the exit status."""
    options = demo_options.parse(arguments)
    check_files(options)
    options.in_segments = needs_segments(options)
    workflow = read_workflow(template_of(options))
    options.output.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        server = ComfyServer(current())
        with console.phase("start_server", f"Starting ComfyUI on port {server.port}"):
            stack.enter_context(server)
        made = make(server, workflow, options, console)
    print(f"video:         {made['video']}\ncontact sheet: {made['contact_sheet']}", flush=True)
    if options.json:
        print(json.dumps({**made, "seconds": console.seconds}), flush=True)
    return 0


def needs_segments(options: Namespace) -> bool:
    """Return True if a sound that drives a clip, or a video to dub, is longer than the longest clip of the training."""
    most = (BUNDLED_CLIPS if options.model is None else RELEASED_CLIPS).seconds + 1 / FPS
    if options.task == AUDIO_DRIVEN.name and options.audio is not None and options.seconds is None:
        return seconds_of_sound(options.audio) > most
    return options.task == DUBBING.name and options.video is not None and seconds_of_pictures(options.video) > most


def make(server: ComfyServer, workflow: Workflow, options: Namespace, console: Console) -> dict[str, Any]:
    """Run a task's template on a running server, and draw the contact sheet of what it made.

    Returns:
        The ``task``, the paths of ``video`` and ``contact_sheet``, the ``seed`` of the noise, and as ``clip`` the
        video's ``duration`` in seconds, ``fps``, ``frames``, ``width``, ``height`` and ``sample_rate``.

    Raises:
        DevError: A node failed, in its own words, or the server did.
    """
    if lacks_words(options):
        console.line(f"Note: {NO_WORDS}")
    workflow = prepare(workflow, with_readable_sound(options, server.folder), server.offer)
    with finished_kept(server, options.output, console) if is_long(options) else nullcontext():
        video = render(server, workflow, options.output, console)
    with console.phase("contact_sheet", "Drawing the contact sheet"):
        sheet, clip = video.with_suffix(".png"), read_clip(video)
        write_contact_sheet(clip, sheet)
    frames, height, width = clip.frames.shape[:3]
    size = {"frames": frames, "width": width, "height": height, "sample_rate": clip.sample_rate}
    return {
        "task": options.task,
        "video": str(video.resolve()),
        "contact_sheet": str(sheet.resolve()),
        "seed": value_of(workflow, "seed"),
        "clip": {"duration": round(clip.seconds, 4), "fps": round(clip.fps, 4), **size},
    }


def render(client: ComfyClient, workflow: Workflow, folder: Path, console: Console) -> Path:
    """Run a workflow, of which one node saves a video, and fetch that into a folder.

    Returns:
        Path of the video, mp4 or mkv; a number is added to its name where a file of that name exists.

    Raises:
        DevError: The workflow failed, or made no video.
    """
    with console.phase("generate", "Generating"):
        result = client.run(workflow, Progress(workflow, console), timeout=LONGEST_RUN)
    notices = [notice for output in result.outputs.values() for notice in output.get("uniavgen_notices", [])]
    for notice in dict.fromkeys(notices):
        console.line(f"Note: {notice}")
    videos = [file for file in result.files() if file["filename"].endswith(VIDEOS)]
    if not videos:
        raise DevError("The workflow made no video file. It needs a node that saves one.")
    suffix = Path(videos[0]["filename"]).suffix
    return client.download(videos[0], free_name((folder / "uniavgen").with_suffix(suffix)))


@contextmanager
def finished_kept(server: ComfyServer, folder: Path, console: Console) -> Iterator[None]:
    """Fetch what a stopped or failed long video has finished, before the server and its folder go."""
    before = set(server.folder.glob(FINISHED))
    try:
        yield
    except BaseException:
        with suppress(OSError):
            server.interrupt()
            _wait_until_written(server, before)
        for path in set(server.folder.glob(FINISHED)) - before:
            kept = free_name(folder / "uniavgen_unfinished.mp4")
            shutil.copyfile(path, kept)
            console.line(f"The segments that were finished are kept: {kept.resolve()}")
        raise


def _wait_until_written(server: ComfyServer, before: set[Path]) -> None:
    """Wait until a stopped run has ended and its finished segments, if it has any, are joined."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        is_running = server.get("/queue")["queue_running"]
        is_written = set(server.folder.glob(FINISHED)) - before or not any(server.folder.glob(SEGMENTS))
        if not is_running and is_written:
            return
        time.sleep(0.2)


def free_name(path: Path) -> Path:
    """The path, with a number added to its stem if a video or sheet of that name exists."""
    number, free = 1, path
    while free.exists() or free.with_suffix(".png").exists():
        number += 1
        free = path.with_stem(f"{path.stem}_{number}")
    return free


class Progress:
    """Turns a server's events into a progress bar."""

    def __init__(self, workflow: Workflow, console: Console) -> None:
        self.workflow = workflow
        self.console = console
        self.done: set[str] = set()

    def __call__(self, kind: str, data: Any) -> None:
        """Take one event."""
        if kind == NOTICE_EVENT:
            self.console.line(f"Note: {data['notice']}")
        elif kind == "execution_cached":
            self.done.update(data["nodes"])
        elif kind == "progress_state":
            states = data["nodes"]
            self.done.update(node for node, state in states.items() if state["state"] == "finished")
            running = [(node, state) for node, state in states.items() if state["state"] == "running"]
            for node, state in running[:1]:
                self._show(node, state["value"], state["max"])

    def _show(self, node: str, value: float, maximum: float) -> None:
        entry = self.workflow.get(node, {})
        title = entry.get("_meta", {}).get("title") or entry.get("class_type", node)
        steps = f" {value:g}/{maximum:g}" if maximum > 1 else ""
        share = (len(self.done) + value / max(maximum, 1)) / max(len(self.workflow), 1)
        self.console.bar(share, title + steps)
