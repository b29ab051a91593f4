"""The verb ``demo``: the quick-start workflow in a real ComfyUI, from a command line to a video file.

Uses av, numpy and Pillow, which ComfyUI brings.
"""

import json
from argparse import Namespace
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from . import demo_options
from .comfy_client import ComfyClient, Prompt
from .comfy_server import ComfyServer
from .console import Console, DevError
from .contact_sheet import read_clip, write_contact_sheet
from .environment import ROOT, current
from .workflow import Slot, read_workflow, replace_node, set_value, value_of

QUICK_START = ROOT / "workflows" / "api" / "quick_start.json"
SEED = (Slot(("seed", "noise_seed")),)
IMAGE_TITLE = "Image"  # whatever node gives the picture in the template
OPTIONS = {
    "caption": (Slot(("text", "caption"), "Caption"),),
    "speech": (Slot(("transcript", "speech", "text"), "Speech"),),
    "seconds": (Slot(("seconds",)),),
    "width": (Slot(("width",)),),
    "height": (Slot(("height",)),),
    "steps": (Slot(("steps",)),),
    "seed": SEED,
}


def main(arguments: Sequence[str], console: Console) -> int:
    """Run the demo.

    Args:
        arguments: As `demo_options.parse` reads them.
        console: Where progress is shown; its ``seconds`` go into the JSON.

    Returns:
        The exit status.
    """
    options = demo_options.parse(arguments)
    workflow = apply_options(read_workflow(QUICK_START), options)
    options.output.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        server = ComfyServer(current())
        with console.phase("start_server", f"Starting ComfyUI on port {server.port}"):
            stack.enter_context(server)
        if options.image:
            picture = {"image": server.upload_image(options.image)}
            workflow = replace_node(workflow, IMAGE_TITLE, "LoadImage", picture)
        video = render(server, workflow, options.output, console)
    with console.phase("contact_sheet", "Drawing the contact sheet"):
        sheet = video.with_suffix(".png")
        write_contact_sheet(read_clip(video), sheet)
    report(video, sheet, value_of(workflow, SEED), console, options.json)
    return 0


def apply_options(workflow: Prompt, options: Namespace) -> Prompt:
    """Put every option that was given into a workflow, all but the image, which needs a server."""
    for name, slots in OPTIONS.items():
        value = getattr(options, name)
        if value is not None:
            workflow = set_value(workflow, slots, value)
    return workflow


def render(client: ComfyClient, workflow: Prompt, folder: Path, console: Console) -> Path:
    """Run a workflow and fetch the video it made.

    Args:
        client: The server.
        workflow: In API format, with one node that saves a video.
        folder: Where the video goes.
        console: Where the progress bar is shown.

    Returns:
        Path of the video; a number is added to its name where a file of that name exists.

    Raises:
        DevError: The workflow failed, or made no video.
    """
    with console.phase("generate", "Generating"):
        result = client.run(workflow, Progress(workflow, console), timeout=3600)
    videos = [file for file in result.files() if file["filename"].endswith(".mp4")]
    if not videos:
        raise DevError("The workflow made no mp4 file. It needs a SaveVideo node with the format mp4.")
    return client.download(videos[0], free_name(folder / "uniavgen.mp4"))


def free_name(path: Path) -> Path:
    """The path, with a number added to its stem if a video or sheet of that name exists."""
    number, free = 1, path
    while free.exists() or free.with_suffix(".png").exists():
        number += 1
        free = path.with_stem(f"{path.stem}_{number}")
    return free


class Progress:
    """Turns a server's events into a progress bar."""

    def __init__(self, workflow: Prompt, console: Console) -> None:
        self.workflow = workflow
        self.console = console
        self.done: set[str] = set()

    def __call__(self, kind: str, data: Any) -> None:
        """Take one event."""
        if kind == "execution_cached":
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


def report(video: Path, sheet: Path, seed: int | None, console: Console, as_json: bool) -> None:
    """Print where the results are, and as the last line the JSON object if it was asked for."""
    print(f"video:         {video.resolve()}\ncontact sheet: {sheet.resolve()}", flush=True)
    if as_json:
        paths = {"video": str(video.resolve()), "contact_sheet": str(sheet.resolve())}
        print(json.dumps({**paths, "seed": seed, "seconds": console.seconds}), flush=True)
