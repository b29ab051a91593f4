"""Browser for the front-end tests. On Debian, as root, it is installed with apt."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from .console import Console, DevError

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
ELSEWHERE = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "C:/Program Files/Google/Chrome/Application/chrome.exe",
    "C:/Program Files (x86)/Microsoft/Edge/Application/msedge.exe",
)


def find_chromium() -> str | None:
    """Path of a Chromium, Chrome or Edge, or None."""
    found = (shutil.which(name) for name in NAMES)
    installed = (path for path in ELSEWHERE if Path(path).is_file())
    return next((path for path in (*found, *installed) if path), None)


def ensure_chromium(console: Console) -> None:
    """Install Debian's chromium if there is no browser and the process is root.

    Raises:
        DevError: There is no browser and none could be installed.
    """
    if find_chromium():
        return
    is_root = sys.platform == "linux" and os.geteuid() == 0
    if not is_root or not shutil.which("apt-get"):
        raise DevError("The tests need a browser. Install Chromium or Chrome, on Debian with: apt-get install chromium")
    with console.phase("install_chromium", "Installing Debian's chromium"):
        environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (["update"], ["install", "-y", "--no-install-recommends", "chromium"]):
            done = subprocess.run(["apt-get", "-q", *command], env=environ, capture_output=True, text=True, check=False)
            if done.returncode:
                raise DevError(f"apt-get {command[0]} failed; install chromium by hand.\n{done.stderr[-800:]}")
