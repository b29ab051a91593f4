"""Parity on the device with the release's recorded passes and sampling runs.

In float32 without TF32 and in bfloat16, with PyTorch's layers and with ComfyUI's, there with its kernels on and off.
Errors are relative L2 distances, the worst of everything that is recorded.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from math import inf, isnan
from types import ModuleType
from typing import Any
from unittest.mock import patch

import torch

from tools.environment import ROOT
from tools.pack import load_pack
from uniavgen_core.layers.backend import TORCH, Backend

from ..peers import comfy_ops, plain_backend
from .findings import Findings
from .scale import Run, Scale

GOLDEN = ROOT / "tests" / "golden"
TOLERANCES = {"float32": 1e-4, "bfloat16": 2e-2}
"""On the CPU, float32 is held to 1e-5 and bfloat16 to the same as here."""
SHORT = {"float32": "f32", "bfloat16": "bf16"}
KERNELS = ("adaln", "apply_rope1_")
TABLE = "relative error"


@dataclass(frozen=True)
class Layers:
    """Source of layers and kernels: its name, its backend for a device and a dtype, and the context it runs in."""

    name: str
    backend: Callable[[str, torch.dtype], Backend]
    context: Callable[[], AbstractContextManager] = nullcontext


def measure(findings: Findings, run: Run) -> None:
    """Compare everything that is recorded, by precision, layers and kind."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    scale = run.scale
    comfy_ops(scale.device)
    recorded = recordings()
    for precision in TOLERANCES:
        for layers in sources(scale.device, precision):
            for kind, errors in (("passes", pass_errors), ("sampling runs", run_errors)):
                row = f"{precision}, {layers.name}, {kind}"
                with findings.attempt(row), layers.context():
                    found = verdict(dict(errors(recorded, scale, precision, layers)), precision)
                    findings.add(TABLE, row, found)
                    if not found["holds"]:
                        raise ValueError(f"the error is {found['worst']} at {found['at']}")


def recordings() -> ModuleType:
    """Import the tests' reader of recorded outputs."""
    own_tests()
    from tests.parity import passes

    return passes


def own_tests() -> None:
    """Let modules of the repository's tests be imported.

    Their folder is no regular package, so that one named ``tests`` among the installed ones would hide it.
    """
    if getattr(sys.modules.get("tests"), "__file__", None) or "tests" not in sys.modules:
        tests = sys.modules["tests"] = ModuleType("tests")
        tests.__path__ = [str(ROOT / "tests")]


def sources(device: str, precision: str) -> list[Layers]:
    """Sources of layers and kernels; ComfyUI has kernels for half precision alone."""
    host = load_pack().nodes.host.model.comfy_backend
    off = Layers("ComfyUI's layers", plain_backend, lambda: patch.object(host, "fused", lambda *_: False))
    plain = [Layers("PyTorch's layers", lambda *_: TORCH), off]
    if precision == "float32" or device == "cpu":
        return plain
    import comfy.quant_ops

    used = {comfy.quant_ops.ck.registry.get_capable_backend(name) for name in KERNELS}
    return [*plain, Layers(f"ComfyUI's layers and kernels ({', '.join(sorted(used))})", plain_backend)]


def pass_errors(passes: ModuleType, scale: Scale, precision: str, layers: Layers) -> Iterator[tuple[str, float]]:
    """Errors of recorded passes, by case and tensor."""
    stem = f"forward_{SHORT[precision]}"
    golden = passes.Golden(GOLDEN, stem, None, scale.device)
    model = passes.network_of(golden, stem, layers.backend(scale.device, getattr(torch, precision)))
    for case in list(golden.info["cases"])[: scale.cases]:
        for name, error in passes.forward_errors(golden, model, case).items():
            yield f"{case}/{name}", error


def run_errors(passes: ModuleType, scale: Scale, precision: str, layers: Layers) -> Iterator[tuple[str, float]]:
    """Errors of recorded sampling runs, by task and tensor."""
    stem = f"sampling_{SHORT[precision]}"
    golden = passes.Golden(GOLDEN, stem, "sampling", scale.device)
    model = passes.network_of(golden, stem, layers.backend(scale.device, getattr(torch, precision)))
    for task in list(golden.info[precision])[: scale.cases]:
        errors, _, _ = passes.sampling_errors(golden, model, precision, task)
        for name, error in errors.items():
            yield f"{task}/{name}", error


def verdict(errors: dict[str, float], precision: str) -> dict[str, Any]:
    """The worst of errors, and whether it is within the tolerance; one that is not a number never is."""
    worst = max(errors, key=lambda name: inf if isnan(errors[name]) else errors[name])
    return {
        "worst": f"{errors[worst]:.1e}", "at": worst, "tolerance": f"{TOLERANCES[precision]:.0e}",
        "holds": bool(errors[worst] <= TOLERANCES[precision]), "tensors": len(errors),
    }  # fmt: skip
