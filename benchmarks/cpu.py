"""Speed of one sampling step on the CPU at an eighth of the released width, as ratios of interleaved passes.

A step is one pass with conditions and one early null pass, as in the guider. It is compared with the video branch alone
and its peers of the same size: ComfyUI's own Wan2.2 network, and that of diffusers. Every round runs each subject once,
and the shortest time of each subject is reported, because other work on the machine can only add to it. With one
thread, the process's CPU time is measured, which other work does not increase.
"""

import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from uniavgen_core.checkpoint.wan_files import wan_names
from uniavgen_core.config import RELEASED, BranchConfig, Interaction, ModelConfig
from uniavgen_core.layers.backend import TORCH, Backend
from uniavgen_core.model.initialize import initialize
from uniavgen_core.model.joint import Conditions, JointModel
from uniavgen_core.model.video_branch import VideoModel
from uniavgen_core.shapes import AVShape

from .flops import TERA, Pass, naive_model, pass_flops, run_pass
from .peers import VideoPass, comfyui_wan, diffusers_wan
from .train import matrix_peak

EIGHTH = replace(
    RELEASED,
    video=BranchConfig(384, 1792, 3),
    audio=BranchConfig(192, 1120, 3),
    text=replace(RELEASED.text, caption_dim=512),
    num_layers=4,
    num_interactions=2,
)
TARGETS = {"step_against_naive": 0.70, "joint_against_branches": 1.12, "region_against_step": 1.03}
RATIOS = {
    "step_against_naive": ("step", "naive_step"),
    "joint_against_branches": ("joint_pass", "branches_pass"),
    "region_against_step": ("region_step", "step"),
    "video_against_comfyui": ("video_pass", "comfyui_video_pass"),
    "video_against_diffusers": ("video_pass", "diffusers_video_pass"),
}
"""Numerator and denominator of each ratio."""


def add_options(parser: ArgumentParser) -> None:
    """Add the options for the size of the clip and the number of rounds."""
    parser.add_argument("--side", type=int, default=480, help="side of the square picture, pixels")
    parser.add_argument("--frames", type=int, default=81, help="video frames")
    parser.add_argument("--rounds", type=int, default=5, help="runs of every subject")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="CPU threads")


def networks(config: ModelConfig) -> tuple[JointModel, JointModel]:
    """Make the network and its naive form with the same seeded weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = JointModel(config)
        initialize(model)
    naive = naive_model()(config)
    naive.load_state_dict(model.state_dict())
    return model.eval(), naive.eval()


def video_passes(
    model: JointModel, device: str = "cpu", backend: Backend = TORCH, with_diffusers: bool = True
) -> dict[str, VideoPass]:
    """The video branch with the weights of the joint network, and its peers with their own copies, by name."""
    config, weights, dtype = model.config, wan_names(model.state_dict()), model.patch_embedding.weight.dtype
    with torch.device("meta"):
        alone = VideoModel(config, backend)
    alone.load_state_dict(weights, assign=True)

    def ours(latents: Tensor, time: Tensor, caption: Tensor) -> Tensor:
        conditions = Conditions(caption, torch.zeros(1, 1, dtype=torch.long, device=device))
        return alone(latents, time[:, None].expand(-1, latents.shape[2]), conditions)

    passes = {"video_pass": ours, "comfyui_video_pass": comfyui_wan(config, weights, device, dtype)}
    return passes | ({"diffusers_video_pass": diffusers_wan(config, device, dtype)} if with_diffusers else {})


def run_video(video_pass: VideoPass, model: JointModel, shape: AVShape) -> None:
    """Run one pass of a video branch over a clip of zeros, in the dtype and on the device of the joint network."""
    text, weight = model.config.text, model.patch_embedding.weight
    latents, caption = weight.new_zeros(shape.video), weight.new_zeros(1, text.caption_length, text.caption_dim)
    video_pass(latents, torch.full((1,), 500.0, device=weight.device), caption)


def least_seconds(
    subjects: dict[str, Callable[[], object]], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Run all subjects in turn for several rounds, and return the shortest time of each, by default wall time."""
    least = dict.fromkeys(subjects, float("inf"))
    for _ in range(rounds):
        for name, subject in subjects.items():
            started = clock()
            subject()
            least[name] = min(least[name], clock() - started)
    return least


def measure(options: Namespace) -> dict:
    """Time the step, its naive form, and passes with and without interaction."""
    torch.set_num_threads(options.threads)
    shape = AVShape(options.side, options.side, options.frames)
    model, naive = networks(EIGHTH)
    step = (Pass(), Pass(Interaction.OFF))
    passes = {
        "step": (model, step),
        "naive_step": (naive, step),
        "region_step": (model, tuple(replace(one, region=True) for one in step)),
        "joint_pass": (model, step[:1]),
        "branches_pass": (model, step[1:]),
    }
    subjects = {
        name: lambda network=network, run=run: [run_pass(network, shape, one) for one in run]
        for name, (network, run) in passes.items()
    }
    for name, video_pass in video_passes(model).items():
        subjects[name] = partial(run_video, video_pass, model, shape)
    with torch.no_grad():
        seconds = least_seconds(
            subjects, options.rounds, time.process_time if options.threads == 1 else time.perf_counter
        )
    peak = matrix_peak(torch.float32, torch.device("cpu"))
    operations = sum(pass_flops(model, shape, one) for one in step)
    return {
        "size": shape.label,
        "threads": options.threads,
        "clock": "process" if options.threads == 1 else "wall",
        "rounds": options.rounds,
        "seconds": {name: round(value, 6) for name, value in seconds.items()},
        **{name: round(seconds[above] / seconds[below], 3) for name, (above, below) in RATIOS.items()},
        "step_tflop": round(operations / TERA, 6),
        "share_of_the_flop_floor": round(operations / seconds["step"] / peak, 4),
        "targets": TARGETS,
    }


def table(results: dict) -> str:
    """Format the results as text."""
    lines = [f"{results['size']}, {results['threads']} threads, {results['clock']} clock, least of {results['rounds']}"]
    lines += [f"{name:26}{value:10.3f} s" for name, value in results["seconds"].items()]
    for name in RATIOS:
        target = results["targets"].get(name)
        lines.append(f"{name:26}{results[name]:10.3f}" + (f"    at most {target:.2f}" if target else ""))
    lines += [f"{'share of the FLOP floor':26}{results['share_of_the_flop_floor']:10.3f}"]
    return "\n".join(lines)
