"""Speed of one sampling step on the CPU at an eighth of the released width, as ratios of passes run in turn.

A step is one pass with conditions and one early null pass, as the guider runs them. Every round runs each subject
once, and each subject's least time counts: what else the machine does only adds to a time.
"""

import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from uniavgen_core.config import RELEASED, BranchConfig, Interaction, ModelConfig
from uniavgen_core.model.initialize import initialize
from uniavgen_core.model.joint import Conditions, JointModel
from uniavgen_core.shapes import AVShape

from .flops import TERA, naive_model, pass_flops
from .flops import Pass as FlopPass
from .train import matrix_peak

EIGHTH = replace(
    RELEASED,
    video=BranchConfig(384, 1792, 3),
    audio=BranchConfig(192, 1120, 3),
    text=replace(RELEASED.text, caption_dim=512),
    num_layers=4,
    num_interactions=2,
)
CHARACTERS = 80
TARGETS = {"step_against_naive": 0.70, "joint_against_branches": 1.12}


@dataclass(frozen=True)
class Subject:
    """One thing that is timed: a network and the passes it runs."""

    model: JointModel
    passes: tuple[Interaction, ...]


def add_options(parser: ArgumentParser) -> None:
    """Size of the clip, and how often it is run."""
    parser.add_argument("--side", type=int, default=480, help="side of the square picture, pixels")
    parser.add_argument("--frames", type=int, default=81, help="video frames")
    parser.add_argument("--rounds", type=int, default=5, help="times that every subject runs")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="CPU threads")


def networks(config: ModelConfig) -> tuple[JointModel, JointModel]:
    """The network and its naive form with the same seeded weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = JointModel(config)
        initialize(model)
    naive = naive_model()(config)
    naive.load_state_dict(model.state_dict())
    return model.eval(), naive.eval()


def run_pass(model: JointModel, shape: AVShape, interaction: Interaction) -> None:
    """One pass over a clip of zeros: the arithmetic does not depend on the values."""
    text = model.config.text
    conditions = Conditions(
        caption=torch.zeros(1, text.caption_length, text.caption_dim),
        speech_ids=torch.zeros(1, CHARACTERS, dtype=torch.long),
        reference_image=torch.zeros(shape.video)[:, :, :1],
        interaction=interaction,
    )
    times = tuple(torch.full((1, n), 500.0) for n in (shape.latent_frames, shape.mel_frames))
    audio = torch.zeros(1, shape.mel_frames, model.config.mel_bins)
    model(torch.zeros(shape.video), audio, times, conditions, tuple(one == 0 for one in times))


def least_seconds(subjects: dict[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """Run all subjects in turn, and again; returns each one's least wall time."""
    least = dict.fromkeys(subjects, float("inf"))
    for _ in range(rounds):
        for name, subject in subjects.items():
            started = time.perf_counter()
            subject()
            least[name] = min(least[name], time.perf_counter() - started)
    return least


def measure(options: Namespace) -> dict:
    """Time the step, its naive form, and passes with and without interaction; each ratio is of one call."""
    torch.set_num_threads(options.threads)
    shape = AVShape(options.side, options.side, options.frames)
    model, naive = networks(EIGHTH)
    step = (Interaction.BOTH, Interaction.OFF)
    subjects = {
        "step": Subject(model, step),
        "naive_step": Subject(naive, step),
        "joint_pass": Subject(model, (Interaction.BOTH,)),
        "branches_pass": Subject(model, (Interaction.OFF,)),
    }

    def runner(subject: Subject) -> Callable[[], None]:
        return lambda: [run_pass(subject.model, shape, one) for one in subject.passes]

    with torch.no_grad():
        seconds = least_seconds({name: runner(subject) for name, subject in subjects.items()}, options.rounds)
    peak = matrix_peak(torch.float32, torch.device("cpu"))
    operations = sum(pass_flops(model, shape, FlopPass(one)) for one in step)
    return {
        "size": f"{shape.width}x{shape.height}x{shape.video_frames}",
        "threads": options.threads,
        "rounds": options.rounds,
        "seconds": {name: round(value, 6) for name, value in seconds.items()},
        "step_against_naive": round(seconds["step"] / seconds["naive_step"], 3),
        "joint_against_branches": round(seconds["joint_pass"] / seconds["branches_pass"], 3),
        "step_tflop": round(operations / TERA, 6),
        "share_of_the_flop_floor": round(operations / seconds["step"] / peak, 4),
        "targets": TARGETS,
    }


def table(results: dict) -> str:
    """Results as text."""
    lines = [f"{results['size']}, {results['threads']} threads, least of {results['rounds']}"]
    lines += [f"{name:26}{value:10.3f} s" for name, value in results["seconds"].items()]
    lines += [f"{name:26}{results[name]:10.3f}    at most {most:.2f}" for name, most in results["targets"].items()]
    lines += [f"{'share of the FLOP floor':26}{results['share_of_the_flop_floor']:10.3f}"]
    return "\n".join(lines)
