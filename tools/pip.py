"""Runs pip for a Python environment, shows what it does, and leaves nothing of its own behind."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from .console import Console, DevError
from .processes import run_and_log

LOG_TAIL = 12  # lines of pip's output shown when it fails


def clean_environ() -> dict[str, str]:
    """Our environment variables without those that would lead another Python to our packages."""
    leading_astray = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    return {name: value for name, value in os.environ.items() if name not in leading_astray}


class Pip:
    """The pip of one Python."""

    def __init__(self, python: Path, folder: Path, console: Console) -> None:
        """Prepare to run pip; its log and its temporary files go to ``folder``.

        The temporary files do so because a system's own folder for them may be smaller than PyTorch, and so that they
        can be removed when pip was stopped.
        """
        self.python = python
        self.folder = folder
        self.console = console

    def run(self, *arguments: str) -> None:
        """Run pip to its end, its latest line as status.

        Raises:
            DevError: It failed; the text has its last lines.
        """
        command: Sequence[str] = [
            str(self.python),
            "-m",
            "pip",
            "--disable-pip-version-check",
            "--no-input",
            *arguments,
        ]
        log, scratch = self.folder / "pip.log", self.folder / "scratch"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        environ = {**clean_environ(), "TMPDIR": str(scratch), "TMP": str(scratch), "TEMP": str(scratch)}
        try:
            status = run_and_log(command, log, self.console.status, environ)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        if status:
            tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_TAIL:])
            raise DevError(f"pip failed; check the network and the disk, then run this again. Whole log: {log}\n{tail}")
