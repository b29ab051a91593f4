"""Long service: prompts over all templates in one server, whose memory, threads and files do not grow."""

import time
from itertools import cycle
from pathlib import Path
from random import Random

import psutil

from ..comfy_server import ComfyServer
from ..console import DevError
from ..template_graphs import TEMPLATES
from ..workflow import Workflow, set_value
from .tally import Tally
from .workflows import small

WARM = 20
"""Prompts after which a server has loaded all that it keeps."""
MOST_GROWTH = 0.03
NOTHING_KEPT = {"MALLOC_TRIM_THRESHOLD_": "131072", "MALLOC_MMAP_THRESHOLD_": "131072"}
"""Variables of the server's environment, so that glibc returns freed memory at once; what it keeps is no growth."""
LOOKS, PAUSE = 5, 0.3
"""Looks at a server, and seconds between them: threads that make previews or write files end a little after a run."""


def serve_for_long(server: ComfyServer, random: Random, tally: Tally) -> None:
    """Run templates one after the other, each with a seed of its own, and look at the server."""
    workflows = [small(name) for name in TEMPLATES]
    before: dict[str, float] = {}
    for number, workflow in enumerate(cycle(workflows)):
        if not tally and number > WARM:
            break
        if number == WARM:
            before = usage_of(server)
        server.run(seeded(workflow, random.randrange(2**32)))
        tally.count(None)
        tally.facts["prompts after the first ones"] = max(0, number + 1 - WARM)
    after = usage_of(server)
    tally.facts |= {f"{name} before": value for name, value in before.items()}
    tally.facts |= {f"{name} after": value for name, value in after.items()}
    for name, value in after.items():
        if value > before[name] * (1 + MOST_GROWTH) + (1 if name != "MiB" else 0):
            tally.count(f"{name} grew from {before[name]:g} to {value:g} over {tally.cases - WARM} prompts")


def seeded(workflow: Workflow, seed: int) -> Workflow:
    """The workflow with another seed, whether its sampler has one or a node of its own makes the noise."""
    try:
        return set_value(workflow, "seed", seed)
    except DevError:
        return set_value(workflow, "noise_seed", seed)


def usage_of(server: ComfyServer) -> dict[str, float]:
    """Usage of a server at rest: the least of a few looks."""
    looks = []
    for _ in range(LOOKS):
        time.sleep(PAUSE)
        looks.append(_usage_now(server))
    return {name: min(look[name] for look in looks) for name in looks[0]}


def _usage_now(server: ComfyServer) -> dict[str, float]:
    """Memory, threads, open files and temporary folders of a server; previews leave files, as ComfyUI's own do."""
    process = psutil.Process(server.pid)
    temporary = sum(path.is_dir() for path in (Path(server.folder) / "temp").rglob("*"))
    return {
        "MiB": round(process.memory_info().rss / 2**20),
        "threads": process.num_threads(),
        "open files": process.num_fds() if hasattr(process, "num_fds") else 0,
        "temporary folders": temporary,
    }
