"""Kills a process at every point of a write, and looks at what it leaves."""

import os
import resource
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

EVENTS = frozenset({"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.listdir", "shutil.rmtree"})
"""What Python does with files; FFmpeg and safetensors write by themselves, and are stopped by the size of the file."""
LONGEST_SECONDS = 120
"""Time after which a write counts as hanging."""
SHARES = (0.0, 0.3, 0.7, 0.99)
"""Shares of the largest file that are written when the process is killed."""


@dataclass(frozen=True)
class Writer:
    """One thing that the pack writes.

    Attributes:
        write: Writes a version, 1 or 2, into a folder.
        read: What the pack takes for whole in a folder, comparable; None for nothing.
    """

    write: Callable[[Path, int], object]
    read: Callable[[Path], Any]


def assert_never_half(writer: Writer, tmp_path: Path) -> int:
    """Kill the second of two writes everywhere: the first one's result stays or the second one's is there, whole.

    Writing again then gives what an undisturbed write gives. Returns the number of kills.
    """
    whole = tmp_path / "whole"
    whole.mkdir()
    writer.write(whole, 1)
    before = writer.read(whole)
    writer.write(whole, 2)
    after, largest = writer.read(whole), max(path.stat().st_size for path in whole.rglob("*") if path.is_file())
    assert before != after
    assert None not in (before, after)
    kills = [("bytes", round(share * largest)) for share in SHARES] + [("event", number) for number in range(200)]
    done = 0
    for way, number in kills:
        folder = tmp_path / f"{way}_{number}"
        folder.mkdir()
        writer.write(folder, 1)
        was_killed = killed(lambda folder=folder: writer.write(folder, 2), **{way: number})
        found = writer.read(folder)
        assert found in (before, after), f"killed at {way} {number}"
        writer.write(folder, 2)
        assert writer.read(folder) == after, f"after a kill at {way} {number}"
        if not was_killed:
            assert found == after
            break
        done += 1
    assert done > len(SHARES), "no event was met"
    return done


def killed(write: Callable[[], object], event: int | None = None, bytes: int | None = None) -> bool:  # noqa: A002
    """Write in a process of its own, which is killed at an event or a size; False if it came to its end.

    Args:
        write: Writes.
        event: Number of the event, from 0.
        bytes: Size of a file at which the system kills the process.
    """
    child = os.fork()
    if child == 0:
        try:
            torch.set_num_threads(1)  # the threads of the parent's pool are not in this process
            signal.alarm(LONGEST_SECONDS)
            if bytes is not None:
                signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
                resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
                resource.setrlimit(resource.RLIMIT_FSIZE, (bytes, bytes))
            if event is not None:
                sys.addaudithook(_killer(event))
            write()
        except BaseException:  # noqa: BLE001 - the parent reports it
            os._exit(1)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert not (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGALRM), "the write hangs"
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the write failed by itself"
    return os.WIFSIGNALED(status)


def _killer(number: int) -> Callable[[str, tuple], None]:
    met = []

    def hook(name: str, _arguments: tuple) -> None:
        if name in EVENTS:
            if len(met) == number:
                os.kill(os.getpid(), signal.SIGKILL)
            met.append(name)

    return hook
