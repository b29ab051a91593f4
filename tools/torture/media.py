"""Damaged media files, through ComfyUI's own loaders into the nodes of the pack, up to where sampling would start."""

import time
from dataclasses import dataclass
from random import Random

from ..comfy_client import PromptFailedError, PromptRejectedError
from ..comfy_server import ComfyServer
from ..console import DevError
from ..workflow import Workflow, replace_node
from .byte_damage import BYTES
from .media_files import media_files
from .prompts import is_bare
from .service import usage_of
from .tally import Tally
from .workflows import template

AUDIO, VIDEO, IMAGE = ("LoadAudio", "audio"), ("LoadVideo", "file"), ("LoadImage", "image")
"""ComfyUI's loaders, and their widgets."""
LONGEST = 10.0
"""Seconds within which a file must be used or refused."""
WARM = 30
"""Cases after which the server has loaded all that it keeps."""
MOST_GROWTH_MIB = 200
CHECK_EVERY = 10
COUNTS = ("cases", "accepted", "refused by the pack", "refused by ComfyUI")


@dataclass(frozen=True)
class Use:
    """A place in a template where a file can be given.

    Attributes:
        template: Name of the template.
        title: Title of the node that the loader replaces.
        loader: ComfyUI's loader, and its widget.
        output: Output of the node that is used there.
    """

    template: str
    title: str
    loader: tuple[str, str]
    output: int = 0

    def workflow(self, file: str) -> Workflow:
        """The template with a file from the input folder, without what follows its task."""
        kind, widget = self.loader
        workflow = replace_node(template(self.template), self.title, kind, {widget: file}, self.output)
        (task,) = [number for number, node in workflow.items() if node["class_type"] == "UniAVGenTask"]
        kept = {number: workflow[number] for number in _ancestors(workflow, task)}
        return {**kept, "999": {"class_type": "PreviewAny", "inputs": {"source": [task, 2]}}}


USES = {
    "audio": (Use("audio_driven", "Audio", AUDIO, 1), Use("reference_voice", "Voice", AUDIO, 1)),
    "video": (Use("dubbing", "Video", VIDEO), Use("continuation", "Video", VIDEO), Use("relip", "Video", VIDEO)),
    "image": (Use("quick_start", "Image", IMAGE),),
}
USED_AS = {
    "wav": USES["audio"],
    "mp3": USES["audio"],
    "mp4": (*USES["video"], *USES["audio"]),
    "webm": (*USES["video"], *USES["audio"]),
    "png": USES["image"],
}
"""Places where a file of each kind can be given."""


def give_damaged_media(server: ComfyServer, random: Random, tally: Tally) -> None:
    """Damage good files of all kinds, and have each loaded and prepared for sampling."""
    good, folder = media_files(), server.folder / "input"
    tally.facts |= dict.fromkeys(COUNTS[1:], 0)
    before = 0.0
    while tally or not tally.cases:
        ending = random.choice(sorted(good))
        damage, use = random.choice(BYTES), random.choice(USED_AS[ending])
        path = folder / f"case_{tally.cases}.{ending}"
        path.write_bytes(damage(random, good[ending]))
        tally.count(
            fault_of_file(server, use.workflow(path.name), tally, f"{use.template}, {ending}, {damage.__name__}")
        )
        path.unlink()
        if tally.cases % CHECK_EVERY == 0:
            path.write_bytes(good[ending])
            tally.count(_fault_of_good(server, use.workflow(path.name)))
            path.unlink()
        if not before and tally.cases >= WARM:
            before = usage_of(server)["MiB"]
    grown = usage_of(server)["MiB"] - before if before else 0.0
    tally.facts["MiB grown"] = grown
    if grown > MOST_GROWTH_MIB:
        tally.count(f"the server grew by {grown:g} MiB over {tally.cases} files")


def fault_of_file(server: ComfyServer, workflow: Workflow, tally: Tally, what: str) -> str | None:
    """Description of what is wrong with a server's answer to a damaged file; None for nothing.

    What ComfyUI's own loaders say is theirs, and only counted; a message of a node of the pack must be one for users.

    Args:
        server: The server.
        workflow: The prompt.
        tally: Counts who refused the file.
        what: The case, for messages.
    """
    started = time.monotonic()
    fault, outcome = None, "accepted"
    try:
        server.run(workflow, timeout=6 * LONGEST)
    except PromptFailedError as error:
        is_own = error.event["node_type"].startswith("UniAVGen")
        outcome = "refused by the pack" if is_own else "refused by ComfyUI"
        fault = f"{what}: {error}"[:300] if is_own and is_bare(error) else None
    except (PromptRejectedError, DevError) as error:  # refused before it ran, it took too long, or the server has gone
        fault = f"{what}: {error}"[:300]
    tally.facts[outcome] = tally.facts.get(outcome, 0) + 1
    seconds = time.monotonic() - started
    return fault or (f"{what}: it took {seconds:.1f} s" if seconds > LONGEST else None)


def _fault_of_good(server: ComfyServer, workflow: Workflow) -> str | None:
    """Description of why a good file is not used after damaged ones; None if it is."""
    try:
        server.run(workflow, timeout=6 * LONGEST)
    except DevError as error:
        return f"a good file after damaged ones: {error}"[:300]
    return None


def _ancestors(workflow: Workflow, number: str) -> set[str]:
    """Numbers of a node and of all that it needs."""
    links = (value for value in workflow[number]["inputs"].values() if isinstance(value, list))
    return {number}.union(*(_ancestors(workflow, link[0]) for link in links))
