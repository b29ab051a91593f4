"""Child processes that never outlive us: each is a group of its own, and the whole group is ended with it."""

import os
import signal
import subprocess
import sys
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

IS_WINDOWS = sys.platform == "win32"
# Threads that wait must not spin: next to other busy programs that made a step of sampling twenty times slower.
CALM = {"OMP_WAIT_POLICY": "PASSIVE", "PYTHONUNBUFFERED": "1"}


def spawn(
    command: Sequence[str], output: int | IO[bytes], cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> subprocess.Popen:
    """Start a process as the head of its own group, so that a terminal's Ctrl-C reaches us alone.

    Args:
        command: Program and arguments.
        output: Where stdout and stderr go together: a file, or ``subprocess.PIPE``.
        cwd: Working folder.
        env: Environment; ours when None.
    """
    group = {"creationflags": 0x00000200} if IS_WINDOWS else {"start_new_session": True}  # CREATE_NEW_PROCESS_GROUP
    return subprocess.Popen(
        list(command), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=cwd, env=env, **group
    )


def stop(process: subprocess.Popen, first: int = signal.SIGTERM, grace: float = 5.0) -> None:
    """End a process started by `spawn` and everything it started.

    Args:
        process: What to end; it may have ended.
        first: Signal that asks for the end.
        grace: Seconds until the end comes by force.
    """
    if IS_WINDOWS:
        subprocess.run(
            ["taskkill", "/F", "/T", "/PID", str(process.pid)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            check=False,
        )  # fmt: skip
    else:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, first)
        with suppress(subprocess.TimeoutExpired):
            process.wait(grace)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def run_and_log(command: Sequence[str], log: Path, on_line: Callable[[str], None], env: Mapping[str, str]) -> int:
    """Run a command to its end, append its output to a file, and report each line of it.

    Returns:
        The exit status.
    """
    process = spawn(command, subprocess.PIPE, env=env)
    try:
        with log.open("ab") as file:
            for line in process.stdout:
                file.write(line)
                on_line(line.decode("utf-8", "replace").strip())
        return process.wait()
    finally:
        stop(process, first=signal.SIGINT)  # pip cleans up after Ctrl-C only


@contextmanager
def orderly_signals() -> Iterator[None]:
    """Turn Ctrl-C and SIGTERM into exceptions, also where a shell started us in the background with Ctrl-C ignored."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _leave)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class TerminatedError(KeyboardInterrupt):
    """SIGTERM, cleaned up after as Ctrl-C is."""


def _leave(number: int, _frame: types.FrameType | None) -> None:
    raise TerminatedError(f"signal {number}")
