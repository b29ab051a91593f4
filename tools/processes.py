"""Child processes that never outlive this one: each has its own process group, which is ended as a whole."""

import os
import signal
import subprocess
import sys
import types
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

IS_WINDOWS = sys.platform == "win32"
GRACE = 5.0  # Seconds that a process has to end before it is killed.
# Waiting threads must not spin: next to other busy programs, that made a sampling step twenty times slower.
CALM = {"OMP_WAIT_POLICY": "PASSIVE", "PYTHONUNBUFFERED": "1"}


def spawn(
    command: Sequence[str], output: int | IO[bytes], cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> subprocess.Popen:
    """Start a process in its own group, so that Ctrl-C in a terminal reaches only this process.

    ``output`` is the target of stdout and stderr: a file, or ``subprocess.PIPE``.
    """
    group = {"creationflags": 0x00000200} if IS_WINDOWS else {"start_new_session": True}  # CREATE_NEW_PROCESS_GROUP
    return subprocess.Popen(
        list(command), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=cwd, env=env, **group
    )


def stop(process: subprocess.Popen, first: int = signal.SIGTERM) -> None:
    """End a process started by `spawn`, which may have ended, and all its children: by a signal, then by force."""
    if IS_WINDOWS:
        subprocess.run(
            ["taskkill", "/F", "/T", "/PID", str(process.pid)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            check=False,
        )  # fmt: skip
    else:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, first)
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


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
