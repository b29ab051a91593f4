"""Child processes that never outlive this one: each has its own process group, which is ended as a whole."""

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
# Waiting threads must not spin: next to other busy programs, that made a sampling step twenty times slower.
CALM = {"OMP_WAIT_POLICY": "PASSIVE", "PYTHONUNBUFFERED": "1"}


def spawn(
    command: Sequence[str], output: int | IO[bytes], cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> subprocess.Popen:
    """Start a process in its own group, so that Ctrl-C in a terminal reaches only this process.

    Args:
        command: Program and arguments.
        output: Target of stdout and stderr: a file, or ``subprocess.PIPE``.
        cwd: Working folder.
        env: Environment variables; by default those of this process.
    """
    group = {"creationflags": 0x00000200} if IS_WINDOWS else {"start_new_session": True}  # CREATE_NEW_PROCESS_GROUP
    return subprocess.Popen(
        list(command), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=cwd, env=env, **group
    )


def stop(process: subprocess.Popen, first: int = signal.SIGTERM, grace: float = 5.0) -> None:
    """End a process started by `spawn` and all its children.

    Args:
        process: The process, which may have ended.
        first: First signal.
        grace: Seconds until it is killed.
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
    """Run a command, append its output to a file, and report each line.

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
        stop(process, first=signal.SIGINT)  # Pip cleans up only after Ctrl-C.


@contextmanager
def orderly_signals() -> Iterator[None]:
    """Turn Ctrl-C and SIGTERM into exceptions, even if a shell started this process with Ctrl-C ignored."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _leave)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class TerminatedError(KeyboardInterrupt):
    """SIGTERM, handled like Ctrl-C."""


def _leave(number: int, _frame: types.FrameType | None) -> None:
    raise TerminatedError(f"signal {number}")
