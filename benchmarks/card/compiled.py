"""Speed of the step with every block and interaction compiled, against the same network as it is."""

import time

import torch
import torch._dynamo
from torch import nn

from uniavgen_core.model.joint import JointModel

from ..cuda import network, settled, speed
from ..flops import Pass, run_pass
from ..peers import comfy_ops
from .findings import Findings
from .scale import Run

TABLE = "step with compiled layers"
MOST_GRAPHS = 64
"""Most graphs of one function; beyond PyTorch's own 8, further sizes would run without being compiled."""


def measure(findings: Findings, run: Run) -> None:
    """Measure every size as it is, then compiled; the network is the same."""
    scale = run.scale
    comfy_ops(scale.device)
    for shape in scale.shapes:
        size = shape.label
        with findings.attempt(size):
            model = network(scale.config, scale.device, scale.dtype)
            plain = speed(model, shape, scale.device, scale.rounds, with_video=False)
            findings.add(TABLE, f"{size} as it is", row_of(plain))
            compile_layers(model, scale.compiler)
            started = time.perf_counter()
            with torch.no_grad():
                settled(lambda model=model, shape=shape: run_pass(model, shape, Pass()), scale.device)()
            findings.add(TABLE, f"{size} compiled", {"first pass s": round(time.perf_counter() - started, 1)})
            compiled = speed(model, shape, scale.device, scale.rounds, with_video=False)
            ratio = compiled["seconds"]["step"] / plain["seconds"]["step"]
            findings.add(TABLE, f"{size} compiled", row_of(compiled) | {"over as it is": round(ratio, 4)} | graphs())
        torch.compiler.reset()
        torch._dynamo.utils.counters.clear()


def compile_layers(model: JointModel, compiler: str) -> None:
    """Compile the layers of both branches and the interactions, in place; equal layers share their graphs."""
    torch._dynamo.config.recompile_limit = MOST_GRAPHS
    parts: list[nn.Module] = [*model.blocks, *model.audio_blocks, *model.a2v_blocks, *model.v2a_blocks]
    for part in parts:
        part.forward = torch.compile(part.forward, backend=compiler, dynamic=False)


def graphs() -> dict[str, int]:
    """Graphs that were compiled so far, and breaks between them; as many graphs as layers would be too many."""
    counters = torch._dynamo.utils.counters
    return {"graphs": counters["stats"]["unique_graphs"], "graph breaks": sum(counters["graph_break"].values())}


def row_of(one: dict) -> dict:
    """Row of the table for one network."""
    seconds = {f"{name} s": round(value, 4) for name, value in one["seconds"].items()}
    return seconds | {"host overhead s": round(one["host_overhead_seconds"], 4), "peak GB": one["peak_memory_gb"]}
