"""Speed of one sampling step on a CUDA device at the released size, in bfloat16 and in scaled fp8.

The network runs as in the pack, with ComfyUI's layers, kernels and selected attention. A step is one pass with
conditions and one null pass, averaged over both halves of the schedule. Weights are random, because the arithmetic does
not depend on them. The video branch alone and ComfyUI's own Wan2.2 network with the same weights run in turn with the
step. The floor is the step's FLOP count at the speed of a large bfloat16 matmul on the same device. Host overhead is
the part of a pass in which the device is idle. Networks of one format share their weights (14 GB in bfloat16); both
formats are in memory while fp8 is made (21 GB).
"""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from uniavgen_core.config import RELEASED, ModelConfig
from uniavgen_core.model.initialize import initialize
from uniavgen_core.model.joint import JointModel
from uniavgen_core.shapes import AVShape

from .cpu import least_seconds, run_video, video_passes
from .flops import SIZES, TERA, VIDEO_FRAMES, pass_flops_by_parts, run_pass, step_of, step_passes
from .peers import ATTENTIONS, comfy_ops, in_fp8, plain_backend
from .train import matrix_peak, peak_memory

STEPS = 50
PASSES = ("cond", "early null", "late null")
TARGETS = {
    "bf16": {"step_over_floor": 1.25, "clip_seconds": 55.0, "step_over_video": 1.12},
    "fp8": {"clip_seconds": 35.0},
}
"""Shares of the clip were measured at 1280x736 on an H200."""


def add_options(parser: ArgumentParser) -> None:
    """Add the options for the rounds and the attention."""
    parser.add_argument("--rounds", type=int, default=5, help="runs of every pass")
    parser.add_argument("--attention", choices=ATTENTIONS, default="pytorch", help="kind of attention")


def measure(options: Namespace) -> dict:
    """Measure every size; needs a CUDA device."""
    if not torch.cuda.is_available():
        sys.exit("bench cuda needs a CUDA device, and there is none. `bench cpu` compares the same at reduced width.")
    comfy_ops("cuda", options.attention)
    return {
        "device": torch.cuda.get_device_name(),
        "attention": options.attention,
        "rounds": options.rounds,
        "sizes": [report(RELEASED, AVShape(*size, VIDEO_FRAMES), "cuda", options.rounds) for size in SIZES],
    }


def report(config: ModelConfig, shape: AVShape, device: str, rounds: int, dtype: torch.dtype = torch.bfloat16) -> dict:
    """Measure one size: its peak in teraflop per second, and the speed of each format, the best of ``rounds``.

    ``dtype`` is that of weights, activations and the matmul that measures the device's peak.
    """
    model = network(config, device, dtype)
    peak = matrix_peak(dtype, torch.device(device))
    flop = step_of(*(pass_flops_by_parts(config, shape, one) for one in step_passes()))
    floor = flop / peak
    plain = speed(model, shape, device, rounds) | {"step_flop": flop}
    seconds = plain["seconds"]
    plain |= {"step_over_video": round(seconds["step"] / (2 * seconds["comfyui_video_pass"]), 3)}
    formats = {"bf16": plain, "fp8": speed(in_fp8(model, device), shape, device, rounds, with_video=False)}
    for one in formats.values():
        one["step_over_floor"] = round(one["seconds"]["step"] / floor, 3)
        one["clip_seconds"] = round(one["seconds"]["step"] * STEPS, 1)
    size = shape.label
    return {"size": size, "peak_tflop_per_second": round(peak / TERA, 3), "formats": formats}


def network(config: ModelConfig, device: str, dtype: torch.dtype) -> JointModel:
    """Build the network with seeded random weights, as in the pack."""
    backend = plain_backend(device, dtype)  # Imports the pack, whose own tensors must not become meta tensors.
    with torch.device("meta"):
        model = JointModel(config, backend).to(dtype)
    model = model.to_empty(device=device)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        initialize(model)
    return model.eval()


def speed(model: JointModel, shape: AVShape, device: str, rounds: int, with_video: bool = True) -> dict:
    """Time the passes of one network, the video branch and its peer."""
    runs = {name: partial(run_pass, model, shape, one) for name, one in zip(PASSES, step_passes(), strict=True)}
    if with_video:
        backend = plain_backend(device, model.patch_embedding.weight.dtype)
        passes = video_passes(model, device, backend, with_diffusers=False)
        runs |= {name: partial(run_video, one, model, shape) for name, one in passes.items()}
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    with torch.no_grad():
        for run in runs.values():
            run()  # Warm-up: kernels are selected and memory is allocated.
        seconds = least_seconds({name: settled(run, device) for name, run in runs.items()}, rounds)
        busy = busy_seconds(runs["cond"], device)
    return {
        "seconds": {"step": step_of(*(seconds[name] for name in PASSES))} | seconds,
        "host_overhead_seconds": max(0.0, seconds["cond"] - busy),
        "peak_memory_gb": round(peak_memory(torch.device(device)) / 1e9, 2),
    }


def settled(run: Callable[[], object], device: str) -> Callable[[], None]:
    """Wrap a function so that it waits for the device."""

    def waiting() -> None:
        run()
        if torch.device(device).type == "cuda":
            torch.cuda.synchronize()

    return waiting


def busy_seconds(run: Callable[[], object], device: str) -> float:
    """Busy time of the device during a run; on a CPU, the time inside operators."""
    on_cuda = torch.device(device).type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_cuda else [])]
    with profile(activities=activities) as profiler:
        settled(run, device)()
    return microseconds(profiler.key_averages(), on_cuda) * 1e-6


def microseconds(events: Iterable[Any], on_cuda: bool) -> float:
    """Time in kernels, or in operators, because the profiler also adds a kernel's time to its operator."""
    if not on_cuda:
        return sum(event.self_cpu_time_total for event in events)
    return sum(event.self_device_time_total for event in events if event.device_type == DeviceType.CUDA)


def table(results: dict) -> str:
    """Format the results as text."""
    lines = [
        f"{results['device']}, {results['attention']} attention, least of {results['rounds']}; {STEPS} steps a clip"
    ]
    for size in results["sizes"]:
        lines.append(f"{size['size']}, {size['peak_tflop_per_second']:.1f} teraflop/s in a product of matrices")
        for kind, one in size["formats"].items():
            lines += [f"  {kind}"]
            lines += [f"    {name:24}{value:10.4f} s" for name, value in one["seconds"].items()]
            lines += [f"    {'host overhead of a pass':24}{one['host_overhead_seconds']:10.4f} s"]
            lines += [f"    {'peak memory':24}{one['peak_memory_gb']:10.2f} GB"]
            lines += [_ratio(kind, name, one) for name in ("step_over_floor", "step_over_video", "clip_seconds")]
    return "\n".join(line for line in lines if line)


def _ratio(kind: str, name: str, one: dict) -> str:
    if name not in one:
        return ""
    target = TARGETS[kind].get(name)
    return f"    {name:24}{one[name]:10.3f}" + (f"    at most {target:g}" if target else "")
