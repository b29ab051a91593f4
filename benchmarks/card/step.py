"""Speed of one sampling step at every size, as ``bench cuda`` measures it."""

from ..cuda import STEPS, report
from ..peers import comfy_ops
from .findings import Findings
from .scale import Run

TABLE = "step"


def measure(findings: Findings, run: Run) -> None:
    """Measure bfloat16 and scaled fp8 at every size, beside ComfyUI's Wan2.2 with the same weights."""
    scale = run.scale
    comfy_ops(scale.device)
    for shape in scale.shapes:
        name = shape.label
        with findings.attempt(name):
            size = report(scale.config, shape, scale.device, scale.rounds, scale.dtype)
            findings.add("matmul", name, {"teraflop/s": size["peak_tflop_per_second"]})
            for kind, one in size["formats"].items():
                findings.add(TABLE, f"{name} {kind}", row_of(one))


def row_of(one: dict) -> dict:
    """Row of the table for one format of ``bench cuda``."""
    seconds = {f"{name} s": round(value, 4) for name, value in one["seconds"].items()}
    ratios = {
        "over floor": one["step_over_floor"],
        "over two ComfyUI video passes": one.get("step_over_video"),
        f"{STEPS} steps s": one["clip_seconds"],
        "host overhead s": round(one["host_overhead_seconds"], 4),
        "peak GB": one["peak_memory_gb"],
    }
    return seconds | ratios
