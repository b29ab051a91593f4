"""What a person sees while a verb works: phases, one status line, a progress bar. Written to stderr."""

import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

QUIET_SECONDS = 15.0  # without a terminal a status is repeated at most this often


class DevError(Exception):
    """A problem a person can solve. The text is one sentence on what is wrong and one on what to do."""


class Console:
    """Prints phases and their seconds; on a terminal the status line is rewritten in place."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = sys.stderr if stream is None else stream
        self.seconds: dict[str, float] = {}
        self._is_terminal = self.stream.isatty()
        self._last_status = time.monotonic()
        self._status_is_open = False

    def line(self, text: str) -> None:
        """Print one line that stays."""
        self._clear()
        print(text, file=self.stream, flush=True)

    def status(self, text: str) -> None:
        """Show what is happening now: in place on a terminal, as a rare line elsewhere."""
        if self._is_terminal:
            width = shutil.get_terminal_size().columns - 1
            self.stream.write("\r" + text[:width].ljust(width))
            self.stream.flush()
            self._status_is_open = True
        elif time.monotonic() - self._last_status > QUIET_SECONDS:
            self._last_status = time.monotonic()
            self.line("  " + text)

    def bar(self, fraction: float, text: str) -> None:
        """Show a progress bar.

        Args:
            fraction: Share of the work that is done, in [0, 1].
            text: What is being done.
        """
        filled = round(24 * min(max(fraction, 0.0), 1.0))
        self.status(f"[{'#' * filled}{'.' * (24 - filled)}] {fraction:4.0%}  {text}")

    @contextmanager
    def phase(self, name: str, title: str) -> Iterator[None]:
        """Announce a phase and keep its duration in ``seconds[name]``."""
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
