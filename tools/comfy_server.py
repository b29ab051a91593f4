"""A real ComfyUI server with the pack installed, for the demo and the tests."""

import ctypes
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import types
import urllib.error
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from .comfy_client import ComfyClient
from .console import DevError
from .environment import ROOT, Environment
from .processes import CALM, IS_WINDOWS, spawn, stop

PACK_NAME = "ComfyUI-UniAVGen"
SECONDS_TO_START = 240  # Within which the server must answer.
LOG_TAIL = 30  # Lines of the server's log that are shown if it does not start.


def link_pack(custom_nodes: Path) -> None:
    """Link the pack into a custom_nodes folder; on Windows by a junction, which needs no special rights."""
    custom_nodes.mkdir(parents=True)
    if IS_WINDOWS:
        import _winapi

        _winapi.CreateJunction(str(ROOT), str(custom_nodes / PACK_NAME))
    else:
        (custom_nodes / PACK_NAME).symlink_to(ROOT, target_is_directory=True)


class ComfyServer(ComfyClient):
    """A ComfyUI process, used as a context manager.

    Its base folder is temporary, with nothing but the pack in ``custom_nodes``, so that the ComfyUI tree and the user's
    models, inputs and outputs are not changed. ``install`` puts the pack there; by default it is a link to this one.
    ``options`` are more arguments for ComfyUI, and ``variables`` environment variables beside this process's own.
    """

    def __init__(
        self,
        environment: Environment,
        install: Callable[[Path], None] = link_pack,
        options: Sequence[str] = (),
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.port = free_port()
        super().__init__(f"http://127.0.0.1:{self.port}")
        self.environment, self._install, self._options, self._variables = environment, install, options, variables
        self.folder = Path()
        self._process: subprocess.Popen | None = None

    def __enter__(self) -> "ComfyServer":
        self.folder = Path(tempfile.mkdtemp(prefix="uniavgen-"))
        try:
            self._install(self.folder / "custom_nodes")
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: type | BaseException | types.TracebackType | None) -> None:
        self.close()

    @property
    def log(self) -> str:
        """Output of the server."""
        return self._log_path.read_text(encoding="utf-8", errors="replace")

    @property
    def is_running(self) -> bool:
        """True if the process is running."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Number of the process.

        Raises:
            DevError: The server does not run.
        """
        if self._process is None:
            raise DevError("The ComfyUI server does not run.")
        return self._process.pid

    def offer(self, path: Path, folder: str = "input") -> str:
        """Copy or link a user's file to ``input`` or a folder in ``models``; returns its unique name there.

        Raises:
            DevError: It cannot be read, or the disk is full.
        """
        name = f"{uuid.uuid4().hex[:8]}_{re.sub(r'[^A-Za-z0-9.-]+', '_', path.name)}"
        target = self.folder / (folder if folder == "input" else f"models/{folder}") / name
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            if folder == "input":  # ComfyUI rejects links that lead out of this folder.
                shutil.copyfile(path, target)
            else:
                link_file(path.resolve(), target)
        except OSError as error:
            raise DevError(f"{path} cannot be given to ComfyUI ({error}). Check that it is readable.") from error
        return name

    def end(self, first: int = signal.SIGTERM) -> None:
        """End the process by a signal, and by force if that is not enough; its folder stays."""
        if self._process is not None:
            stop(self._process, first)

    def restart(self) -> None:
        """Start the process again on the same folder, after ``end`` if it runs."""
        self.end()
        self._start()

    def close(self) -> None:
        """End the process and remove its folder."""
        self.end()
        remove_base(self.folder)

    def _start(self) -> None:
        with self._log_path.open("ab") as log:
            self._process = spawn(self._command(), log, self.folder, {**CALM, **os.environ, **(self._variables or {})})
        self._wait_until_ready()

    @property
    def _log_path(self) -> Path:
        return self.folder / "server.log"

    def _command(self) -> list[str]:
        device = [] if has_cuda() else ["--cpu"]
        return [
            str(self.environment.python), str(self.environment.comfyui / "main.py"), "--listen", "127.0.0.1",
            "--port", str(self.port), "--base-directory", str(self.folder), "--disable-auto-launch",
            "--disable-api-nodes", "--database-url", "sqlite:///:memory:", *device, *self._options,
        ]  # fmt: skip

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + SECONDS_TO_START
        while time.monotonic() < deadline:
            with suppress(urllib.error.URLError, ConnectionError, TimeoutError):
                self.get("/system_stats")
                return
            if not self.is_running:
                raise DevError(f"ComfyUI ended while starting. {self._end_of_log()}")
            time.sleep(0.2)
        raise DevError(f"ComfyUI was silent for {SECONDS_TO_START} s. {self._end_of_log()}")

    def _end_of_log(self) -> str:
        return "\n".join(["The end of its log:", *self.log.splitlines()[-LOG_TAIL:]])


def free_port() -> int:
    """Find a free TCP port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def link_file(path: Path, target: Path) -> None:
    """Link a large file to another path, or copy it if the system allows no link."""
    for make in (os.symlink, os.link):
        with suppress(OSError):
            return make(path, target)
    shutil.copyfile(path, target)
    return None


def remove_base(folder: Path) -> None:
    """Remove a server's base folder, the link to the pack first, so that the pack itself cannot be deleted."""
    link = folder / "custom_nodes" / PACK_NAME
    if IS_WINDOWS and link.exists():
        link.rmdir()
    else:
        link.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def has_cuda() -> bool:
    """True if the NVIDIA driver reports a GPU, without importing PyTorch."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if IS_WINDOWS else "libcuda.so.1")
    except OSError:
        return False
    count = ctypes.c_int(0)
    return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0
