"""Console output of a command on stderr: phases, a status line and a progress bar."""

import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

QUIET_SECONDS = 15.0  # Shortest interval between status lines without a terminal.


class DevError(Exception):
    """An error that the user can fix. The message says in one sentence what is wrong, and in another what to do."""


class Console:
    """Console output of phases with their durations; on a terminal the status line is rewritten in place."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = sys.stderr if stream is None else stream
        self.seconds: dict[str, float] = {}
        self._is_terminal = self.stream.isatty()
        self._last_status = time.monotonic()
        self._status_is_open = False

    def line(self, text: str) -> None:
        """Print one permanent line."""
        self._clear()
        print(text, file=self.stream, flush=True)

    def status(self, text: str) -> None:
        """Show the status: in place on a terminal, as an occasional line elsewhere."""
        if self._is_terminal:
            width = shutil.get_terminal_size().columns - 1
            self.stream.write("\r" + text[:width].ljust(width))
            self.stream.flush()
            self._status_is_open = True
        elif time.monotonic() - self._last_status > QUIET_SECONDS:
            self._last_status = time.monotonic()
            self.line("  " + text)

    def bar(self, fraction: float, text: str) -> None:
        """Show a progress bar for the share of the work that is done, in [0, 1]."""
        filled = round(24 * min(max(fraction, 0.0), 1.0))
        self.status(f"[{'#' * filled}{'.' * (24 - filled)}] {fraction:4.0%}  {text}")

    @contextmanager
    def phase(self, name: str, title: str) -> Iterator[None]:
        """Announce a phase, and store its duration in ``seconds[name]``."""
        self.line(f"{title} ...")
        started = self._last_status = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = round(time.monotonic() - started, 2)
            self._clear()
        self.line(f"  done in {self.seconds[name]:.1f} s")

    def _clear(self) -> None:
        if self._status_is_open:
            self.stream.write("\r" + " " * (shutil.get_terminal_size().columns - 1) + "\r")
            self._status_is_open = False
