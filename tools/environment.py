"""Environment of the commands: a ComfyUI, and a Python that can run it.

Both are created in one cache folder outside the repository. A Python environment is named by a hash of its
requirements, so changed requirements give a new one and unchanged ones are reused. Packages that only tests and
training need are added to the same environment when a command needs them.
"""

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from . import archive
from .console import Console, DevError
from .pip import Pip
from .processes import IS_WINDOWS

ROOT = Path(__file__).resolve().parents[1]
HASHES = ROOT / "requirements-dev.lock"
"""Hashes of the packages in requirements-dev.txt."""
TORCH = ("torch==2.11.0", "torchvision==0.26.0", "torchaudio==2.11.0")
TORCH_LINE = re.compile(r"(torch|torchvision|torchaudio)\s*([<>=!~;\[].*)?$")
PURPOSE = {"runtime": "PyTorch and what ComfyUI needs", "dev": "what tests and training need"}
INSTALL = ("install", "--no-compile", "--prefer-binary", "--no-warn-script-location")
LIST_PACKAGES = """
import importlib.metadata, json
names = [distribution.metadata["Name"] for distribution in importlib.metadata.distributions()]
print(json.dumps([name for name in names if name]))
"""


@dataclass(frozen=True)
class Environment:
    """A Python and the ComfyUI tree it can run."""

    python: Path
    comfyui: Path


def cache_folder() -> Path:
    """Folder in ``UNIAVGEN_CACHE``, or the platform's cache folder."""
    chosen = os.environ.get("UNIAVGEN_CACHE")
    if chosen:
        return Path(chosen).expanduser().resolve()
    if IS_WINDOWS:
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return base / "comfyui-uniavgen"


def prepare(cache: Path, with_dev: bool, console: Console) -> Environment:
    """Find or create the environment; ``cache`` is unused if ``COMFYUI_PATH`` names a ComfyUI.

    Raises:
        DevError: Something is missing or an installation failed.
    """
    pack = requirement_lines(ROOT / "requirements.txt")
    dev = requirement_lines(ROOT / "requirements-dev.txt") if with_dev else []
    if os.environ.get("COMFYUI_PATH"):
        comfyui = Path(os.environ["COMFYUI_PATH"]).expanduser().resolve()
        python = Path(os.environ.get("COMFYUI_PYTHON") or sys.executable)
        check_existing(comfyui, python, [*TORCH, "aiohttp", "av", *pack, *dev])
        return Environment(python, comfyui)
    cache.mkdir(parents=True, exist_ok=True)
    with _only_one(cache, console):
        python = make_venv(cache)
        pip = Pip(python, cache, console)
        comfyui = archive.fetch_comfyui(cache, pip)
        install_once(pip, "runtime", [*TORCH, *host_requirements(comfyui), *pack])
        if dev:
            install_once(pip, "dev", dev, HASHES)
            if sys.dont_write_bytecode:
                compile_once(pip, comfyui)
    return Environment(python, comfyui)


def current() -> Environment:
    """Environment in which dev.py, or a user who set ``COMFYUI_PATH``, started this process.

    Raises:
        DevError: ``COMFYUI_PATH`` is not set.
    """
    if not os.environ.get("COMFYUI_PATH"):
        raise DevError("COMFYUI_PATH is not set. Run this with dev.py, which sets it, or set it to a ComfyUI.")
    return Environment(Path(os.environ.get("COMFYUI_PYTHON") or sys.executable), Path(os.environ["COMFYUI_PATH"]))


def check_existing(comfyui: Path, python: Path, requirements: Sequence[str]) -> None:
    """Check that a folder contains ComfyUI and that its Python has the required packages, in any version.

    Raises:
        DevError: One of them is not usable.
    """
    if not (comfyui / "main.py").is_file() or not (comfyui / "comfy").is_dir():
        raise DevError(
            f"COMFYUI_PATH names {comfyui}, which is not a ComfyUI. Set it to the folder of ComfyUI's main.py."
        )
    try:
        answer = subprocess.run([str(python), "-c", LIST_PACKAGES], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise DevError(f"{python} does not run ({error}). Set COMFYUI_PYTHON to the Python of your ComfyUI.") from error
    installed = {_normal(name) for name in json.loads(answer.stdout)}
    missing = [line for line in requirements if _normal(re.split(r"[\s<>=!~;\[]", line)[0]) not in installed]
    if missing:
        raise DevError(
            f"{python} lacks {', '.join(missing)}. Set COMFYUI_PYTHON to the Python of your ComfyUI, and install there "
            f"what is missing: {python} -m pip install {' '.join(missing)}"
        )


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@contextmanager
def _only_one(cache: Path, console: Console) -> Iterator[None]:
    """Hold the cache's lock; the system releases it when this process ends in any way."""
    with (cache / "lock").open("a+b") as file:
        if not _try_lock(file):
            console.line(f"Another dev.py is working in {cache}; waiting for it ...")
            while not _try_lock(file):
                time.sleep(1)
        yield


def _try_lock(file: IO[bytes]) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # as Unix and Windows say that another process holds it
        return False
    return True


def make_venv(cache: Path) -> Path:
    """Create the virtual environment unless it exists, and return its Python."""
    folder = cache / f"venv-{environment_key()}"
    python = folder / ("Scripts/python.exe" if IS_WINDOWS else "bin/python")
    made = folder / "made"
    if made.is_file() and python.exists():
        return python
    shutil.rmtree(folder, ignore_errors=True)
    try:
        venv.EnvBuilder(with_pip=True, symlinks=not IS_WINDOWS).create(folder)
    except (subprocess.CalledProcessError, OSError) as error:
        raise DevError(
            f"Python could not make a virtual environment in {folder} ({error}). On Debian and Ubuntu install "
            "the package python3-venv; elsewhere use a Python from python.org."
        ) from error
    made.touch()
    return python


def environment_key() -> str:
    """Hash of everything that defines the runtime environment, twelve hexadecimal digits."""
    parts = (
        *TORCH, archive.SHA256, *requirement_lines(ROOT / "requirements.txt"),
        "{}.{}".format(*sys.version_info), sys.platform, platform.machine(),
    )  # fmt: skip
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def install_once(pip: Pip, name: str, requirements: Sequence[str], hashes: Path | None = None) -> None:
    """Install requirements unless the same ones are already installed under this name.

    Args:
        pip: Of the environment.
        name: Name of the requirements.
        requirements: Names and versions.
        hashes: File with the requirements' hashes; these are then installed first, by their hashes, without what they
            need: pip checks either all packages or none, and has to choose the others for platform and Python.
    """
    folder = pip.python.parents[1]
    marker = folder / f"installed-{name}.txt"
    wanted = "\n".join(requirements) + "\n"
    if marker.is_file() and marker.read_text(encoding="utf-8") == wanted:
        return
    listed = folder / f"requirements-{name}.txt"
    listed.write_text(wanted, encoding="utf-8")
    with pip.console.phase(f"install_{name}", f"Installing {PURPOSE[name]}"):
        if hashes is not None:
            pip.run(*INSTALL, "--no-deps", "--require-hashes", "-r", str(hashes))
        pip.run(*INSTALL, "-r", str(listed))
    marker.write_text(wanted, encoding="utf-8")


def compile_once(pip: Pip, comfyui: Path) -> None:
    """Compile the environment and ComfyUI unless that was done after the last installation.

    With ``PYTHONDONTWRITEBYTECODE``, as in many containers, Python would compile PyTorch and ComfyUI again in every
    process: that is 12 of the 20 seconds in which a server starts.

    Args:
        pip: Of the environment.
        comfyui: ComfyUI's folder.
    """
    folder = pip.python.parents[1]
    marker = folder / "compiled.txt"
    installed = "".join(path.read_text(encoding="utf-8") for path in sorted(folder.glob("installed-*.txt")))
    if marker.is_file() and marker.read_text(encoding="utf-8") == installed:
        return
    with pip.console.phase("compile", "Compiling PyTorch, ComfyUI and the other packages"):
        command = [str(pip.python), "-m", "compileall", "-qq", "-j", "0", str(folder), str(comfyui)]
        subprocess.run(command, check=False)  # some packages ship templates of modules, which do not compile
    marker.write_text(installed, encoding="utf-8")


def host_requirements(comfyui: Path) -> list[str]:
    """ComfyUI's requirements without the torch packages, which are pinned here."""
    return [line for line in requirement_lines(comfyui / "requirements.txt") if not TORCH_LINE.match(line)]


def requirement_lines(path: Path) -> list[str]:
    """Requirements in a file, without comments and blank lines."""
    lines = (line.split("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line]
