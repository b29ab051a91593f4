"""Pip of a Python environment, with its progress on the console and without leftover files."""

import os
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .console import Console, DevError
from .processes import spawn, stop

LOG_TAIL = 12  # Lines of pip's output that are shown if it fails.


def clean_environ() -> dict[str, str]:
    """Environment variables without those that would let another Python find this one's packages."""
    leading_astray = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    return {name: value for name, value in os.environ.items() if name not in leading_astray}


@dataclass(frozen=True)
class Pip:
    """The pip of one Python, with its log and its temporary files in ``folder``.

    The system's folder for temporary files may be smaller than PyTorch, and files there could not be removed after an
    interruption.
    """

    python: Path
    folder: Path
    console: Console

    def run(self, *arguments: str) -> None:
        """Run pip, with its latest line as the status.

        Raises:
            DevError: It failed; the message contains its last lines.
        """
        command = [str(self.python), "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments]
        log, scratch = self.folder / "pip.log", self.folder / "scratch"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        environ = {**clean_environ(), "TMPDIR": str(scratch), "TMP": str(scratch), "TEMP": str(scratch)}
        process = spawn(command, subprocess.PIPE, env=environ)
        try:
            with log.open("ab") as file:
                for line in process.stdout:
                    file.write(line)
                    self.console.status(line.decode("utf-8", "replace").strip())
            status = process.wait()
        finally:
            stop(process, first=signal.SIGINT)  # Pip cleans up only after Ctrl-C.
            shutil.rmtree(scratch, ignore_errors=True)
        if status:
            tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_TAIL:])
            raise DevError(f"pip failed; check the network and the disk, then run this again. Whole log: {log}\n{tail}")
