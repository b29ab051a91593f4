"""Faults in mid-run: memory that runs out, a disk that is full, a server that is killed.

After each, the same prompt gives the same result as before, and what lies in the output folder is whole.
"""

import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random

from ..comfy_client import PromptFailedError
from ..comfy_server import ComfyServer
from ..console import DevError
from ..contact_sheet import read_clip
from ..workflow import Workflow
from .tally import Tally
from .workflows import digest_of, small, template

SCRIPT = "hello happy robot\nred moon"
DISK_KIB = (16, 1200)
"""Sizes of a small disk, on which some files of a run fit."""
MEMORY_CASES = 40
"""Cases of missing memory for each full disk and each kill, which take longer."""


def break_runs(server: ComfyServer, random: Random, tally: Tally) -> None:
    """Let runs fail in all these ways, and compare the next ones with what they gave before."""
    shutil.copy(Path(__file__).with_name("fault_pack.py"), server.folder / "custom_nodes" / "uniavgen_torture.py")
    server.restart()
    tally.facts |= {"memory": 0, "full disks": 0, "kills": 0}
    expected = digest_of(server, quick(0))
    expected_long = digest_of(server, long(0))
    calls = calls_of(server, quick(1, "a first one"))
    while tally or not tally.facts["kills"]:
        for _ in range(MEMORY_CASES):
            tally.facts["memory"] += 1
            tally.count(fault_of_memory(server, random.randrange(calls), tally.cases))
            tally.count(None if digest_of(server, quick(0)) == expected else "after missing memory: another result")
            if not tally:
                break
        with small_disk(server.folder / "output", random.randint(*DISK_KIB)) as is_small:
            if is_small:
                tally.facts["full disks"] += 1
                tally.count(fault_of_full_disk(server, tally.cases))
        tally.count(None if digest_of(server, quick(0)) == expected else "after a full disk: another result")
        tally.facts["kills"] += 1
        tally.count(fault_of_kill(server, random, expected_long))


def quick(seed: int, caption: str = "a happy toon") -> Workflow:
    """The quick start, made short; another caption has all parts of it run again."""
    return small("quick_start", seed=seed, text=caption)


def long(seed: int) -> Workflow:
    """A long video of two segments, made anew where no segments of it are stored."""
    return small("long_video", steps=4, seed=seed, script=SCRIPT)


def calls_of(server: ComfyServer, workflow: Workflow) -> int:
    """Number of calls of modules in a run."""
    server.post("/torture/memory", {"call": -1})
    server.run(workflow)
    return server.post("/torture/memory", {"call": -1})["calls"]


def fault_of_memory(server: ComfyServer, call: int, case: int) -> str | None:
    """Description of what is wrong with a run of which one call has no memory; None for nothing.

    A codec that goes on in tiles is right too.
    """
    server.post("/torture/memory", {"call": call})
    try:
        server.run(quick(case + 2, f"toon number {case}"))
    except PromptFailedError as error:
        is_told = "memory" in error.event["exception_message"]
        return None if is_told else f"no memory in call {call}: {error}"[:300]
    except DevError as error:
        return f"no memory in call {call}: {error}"[:300]
    finally:
        server.post("/torture/memory", {"call": -1})
    return None


def fault_of_full_disk(server: ComfyServer, case: int) -> str | None:
    """Description of what is wrong with runs that save on a small disk; None for nothing."""
    output, values = server.folder / "output", {"preset": "custom", "steps": 2, "seed": case + 2}
    for workflow in (template("quick_start", **values), template("long_video", script=SCRIPT, **values)):
        try:
            server.run(workflow)
        except PromptFailedError as error:
            if "is full" not in error.event["exception_message"] and error.event["node_type"].startswith("UniAVGen"):
                return f"a full disk: {error}"[:300]
        except DevError as error:
            return f"a full disk: {error}"[:300]
    return fault_of_files(output)


def fault_of_kill(server: ComfyServer, random: Random, expected: str) -> str | None:
    """Description of what is wrong after a server was killed while it made a long video; None for nothing."""
    clear(server)
    started = time.monotonic()
    digest_of(server, long(0))
    whole = time.monotonic() - started
    clear(server)
    run = threading.Thread(target=run_until_killed, args=(server,))
    run.start()
    time.sleep(random.random() * whole)
    server.end(signal.SIGKILL)
    run.join()
    server.restart()
    fault = fault_of_files(server.folder / "output")
    if digest_of(server, long(0)) != expected:
        return "after a kill: the resumed long video is another one"
    damaged = list((server.folder / "output").rglob("*.damaged"))
    return fault or (f"after a kill: {damaged[0].name} had the name of a whole file" if damaged else None)


def run_until_killed(server: ComfyServer) -> None:
    """Make the long video; the end of the server is no error."""
    with suppress(DevError, OSError):
        server.run(long(0))


def clear(server: ComfyServer) -> None:
    """Delete all stored segments; the prompt also lets go of the last video."""
    server.run({"1": {"class_type": "UniAVGenStoredSegments", "inputs": {"action": "delete_all", "days": 0}}})
    server.run({"1": {"class_type": "UniAVGenStoredSegments", "inputs": {"action": "delete_all", "days": 1}}})


def fault_of_files(output: Path) -> str | None:
    """Description of a video that is not whole under the name of a whole one; None if there is none."""
    for path in output.rglob("*.mp4"):
        try:
            read_clip(path)
        except (OSError, ValueError, IndexError) as error:
            return f"{path.name} is not whole: {error}"[:300]
    return None


@contextmanager
def small_disk(folder: Path, kib: int) -> Iterator[bool]:
    """Mount a small disk on a folder, where this user may; yields True if that was possible."""
    folder.mkdir(exist_ok=True)
    mount = shutil.which("mount")
    command = [mount or "mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", str(folder)]
    is_mounted = mount is not None and subprocess.run(command, capture_output=True, check=False).returncode == 0
    try:
        yield is_mounted
    finally:
        if is_mounted:
            subprocess.run(["umount", "-l", str(folder)], check=True)
