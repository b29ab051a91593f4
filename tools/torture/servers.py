"""Two servers on one output folder: each makes and keeps its own files, whatever the other one does."""

from concurrent.futures import ThreadPoolExecutor
from random import Random

from ..comfy_server import ComfyServer
from ..workflow import Workflow
from .tally import Tally
from .workflows import digest_of, small

QUICK, LONG = "quick_start", "long_video"


def share_output(server: ComfyServer, random: Random, tally: Tally) -> None:
    """Run the same templates on two servers at once, with equal and with different seeds."""
    shared, saved = ("--output-directory", str(server.folder / "output")), 0
    with ComfyServer(server.environment, options=shared) as other, ThreadPoolExecutor(2) as pool:
        while tally or not tally.cases:
            name, seed = random.choice((QUICK, LONG)), random.randrange(2**32)
            seeds = (seed, seed) if random.random() < 0.5 else (seed, seed + 1)
            together = list(pool.map(digest_of, (server, other), [short(name, each) for each in seeds]))
            swapped = zip((other, server), seeds, strict=True)  # a server has what it made last in its cache
            alone = [digest_of(one, short(name, each, alone=True)) for one, each in swapped]
            for number, each in enumerate(seeds):
                is_same = together[number] == alone[number]
                tally.count(None if is_same else f"{name}, seed {each}: beside another server it gave another result")
            saved += len(together) * (name == QUICK)
    kept = len(list((server.folder / "output" / "video").glob(f"{QUICK}_*.mp4")))
    tally.count(None if kept == saved else f"of {saved} videos that were saved under one name, {kept} were kept")


def short(name: str, seed: int, alone: bool = False) -> Workflow:
    """A template with few steps. ComfyUI's own 'Save Video', which the long one has, gives two servers the same name.

    Args:
        name: ``QUICK`` or ``LONG``.
        seed: Its seed, in the names of long videos too.
        alone: Whether it is saved under a name of its own, and a long video made anew.
    """
    if name == QUICK:
        return small(name, seed=seed, filename_prefix=f"video/alone_{QUICK}" if alone else f"video/{QUICK}")
    prefix = f"video/{LONG}{seed}{alone}"
    script = "hello happy robot\nred moon"
    return small(name, seed=seed, start_over=alone, filename_prefix=prefix, script=script)
