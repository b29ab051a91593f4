"""ComfyUI in the process of a part: its memory management, the memory of a smaller card, and what was used of it."""

import importlib.metadata
import os
import platform
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

from ..memory import GIB
from ..peers import comfy_ops
from ..train import peak_memory

POLL_SECONDS = 0.02
CLASSIC = "classic"
PACKAGES = ("torch", "triton", "comfy-kitchen", "comfy-aimdo", "transformers")


def machine(device: str) -> dict[str, Any]:
    """Name and memory of the device, and versions of driver, ComfyUI and packages."""
    found: dict[str, Any] = {"python": platform.python_version(), "comfyui": comfyui_version()}
    for name in PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    if device != "cuda":
        return {"device": f"CPU, {torch.get_num_threads()} threads", **found}
    card = torch.cuda.get_device_properties(0)
    return {
        "device": card.name,
        "memory_gib": round(card.total_memory / GIB, 1),
        "capability": f"{card.major}.{card.minor}",
        "driver": driver_version(),
        "cuda": torch.version.cuda,
        "torch_build": torch.__version__,
        **found,
    }


def driver_version() -> str | None:
    """Version of NVIDIA's driver, or None where its tool does not tell."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.splitlines()[0].strip() if answer.strip() else None


def comfyui_version() -> str | None:
    """Version of the ComfyUI in ``COMFYUI_PATH``, read from its source."""
    path = Path(os.environ.get("COMFYUI_PATH", "")) / "comfyui_version.py"
    found = re.search(r'"(.+)"', path.read_text(encoding="utf-8")) if path.is_file() else None
    return found[1] if found else None


def start_comfyui(device: str, dynamic: bool) -> str:
    """Import ComfyUI for a device and return its kind of memory management.

    Args:
        device: Kind of device.
        dynamic: Whether ``prepare_memory`` found that the dynamic kind can be switched on.
    """
    comfy_ops(device)
    return _switch_to_dynamic() if dynamic else CLASSIC


def _switch_to_dynamic() -> str:
    """Do what ComfyUI's main program does after its imports."""
    import comfy.memory_management
    import comfy.model_management
    import comfy.model_patcher
    import comfy_aimdo.control

    devices = [(device.index, 0) for device in comfy.model_management.get_all_torch_devices()]
    if not comfy_aimdo.control.init_devices(devices):
        return f"{CLASSIC}, because comfy-aimdo did not start"
    comfy.model_patcher.CoreModelPatcher = comfy.model_patcher.ModelPatcherDynamic
    comfy.memory_management.aimdo_enabled = True
    return "dynamic"


def after_node() -> None:
    """Do what ComfyUI does after every node under dynamic memory management."""
    import comfy.memory_management
    import comfy.model_management
    import comfy_aimdo.model_vbar

    if comfy.memory_management.aimdo_enabled:
        comfy.model_management.reset_cast_buffers()
        comfy_aimdo.model_vbar.vbars_reset_watermark_limits()


def free_memory() -> None:
    """Unload all models and give what PyTorch keeps back to the device, as ComfyUI's button does."""
    import comfy.model_management

    comfy.model_management.unload_all_models()
    comfy.model_management.soft_empty_cache()


@contextmanager
def smaller_card(device: str, limit_gib: int | None) -> Iterator[int]:
    """Occupy the card's memory beyond a limit, and give the bytes that are occupied for that.

    PyTorch, ComfyUI and the driver then see as much free memory as on the smaller card; ComfyUI still reads the whole
    size where it asks for the total.

    Args:
        device: Kind of device; a CPU's memory is left as it is.
        limit_gib: Memory of the smaller card, GiB; None to occupy none.

    Raises:
        ValueError: If the card itself is no larger.
    """
    if limit_gib is None or device != "cuda":
        yield 0
        return
    _, total = torch.cuda.mem_get_info()
    size = total - limit_gib * GIB
    if size <= 0:
        raise ValueError(f"The card has {total / GIB:.1f} GiB, which is no more than the limit of {limit_gib} GiB.")
    ballast = torch.empty(size, dtype=torch.uint8, device="cuda")
    try:
        yield size
    finally:
        del ballast


class MemoryWatch:
    """Peaks of memory while a block runs.

    Attributes:
        ballast: Bytes that ``smaller_card`` occupies; they are not counted.
        allocated: Most bytes of PyTorch's tensors, on a CPU of the process so far.
        used: Most bytes in use on the device, by all programs and libraries; 0 on a CPU. Polled.
    """

    def __init__(self, device: str, ballast: int = 0) -> None:
        self.device, self.ballast = torch.device(device), ballast
        self.allocated = self.used = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._poll, daemon=True)

    def __enter__(self) -> "MemoryWatch":
        if self.device.type == "cuda":
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
            self._done.set()
            self._thread.join()
        self.allocated = int(peak_memory(self.device)) - self.ballast

    def _poll(self) -> None:
        while not self._done.wait(POLL_SECONDS):
            free, total = torch.cuda.mem_get_info()
            self.used = max(self.used, total - free - self.ballast)

    @property
    def values(self) -> dict[str, float]:
        """Peaks in GB."""
        found = {"tensors_gb": round(self.allocated / 1e9, 2)}
        return found | ({"device_gb": round(self.used / 1e9, 2)} if self.used else {})
