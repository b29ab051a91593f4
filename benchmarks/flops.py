"""FLOPs of one sampling step at the released size, counted on the meta device without weights or an accelerator.

A step is one pass with conditions and one null pass; the null pass is averaged over the two halves of the schedule
(without and with interaction) and skips one layer. The task is joint generation from an image.
The naive form gives every audio token its own context and every video token its own time embedding, and computes both
directions even when they are off, as in the inference release.
"""

import importlib.util
from argparse import ArgumentParser, Namespace
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from uniavgen_core.config import RELEASED, GuidanceConfig, Interaction, ModelConfig
from uniavgen_core.model.joint import Conditions, JointModel, JointOutput
from uniavgen_core.shapes import FPS, AVShape

SIZES = ((1280, 736), (736, 736))
VIDEO_FRAMES = 81
LENGTHS = (5, 10, 20, 40, 60)
"""Lengths of the clips for ``--growth``, seconds."""
CHARACTERS = 80  # Length of the transcript in every pass; a null pass has fewer, which saves 0.01 %.
TERA = 1e12
SKIP_LAYER = GuidanceConfig().skip_layer


def naive_model() -> type[JointModel]:
    """Import the naive form of the network from the tests."""
    path = Path(__file__).parents[1] / "tests" / "oracle.py"
    spec = importlib.util.spec_from_file_location("uniavgen_oracle", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.NaiveModel


@dataclass(frozen=True)
class Pass:
    """One pass of the network: the directions that are on, the layer left out, and whether half the picture is kept."""

    interaction: Interaction = Interaction.BOTH
    skip_layer: int | None = None
    region: bool = False


def pass_flops(model: JointModel, shape: AVShape, one: Pass) -> int:
    """Count the FLOPs of one pass on the device of the weights; a multiply-add counts as two."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        run_pass(model, shape, one)
    return counter.get_total_flops()


def run_pass(model: JointModel, shape: AVShape, one: Pass) -> JointOutput:
    """Run one pass over a clip of zeros, in the dtype and on the device of the network's weights."""
    text, weight = model.config.text, model.patch_embedding.weight
    device, dtype = weight.device, weight.dtype
    video = torch.zeros(shape.video, device=device, dtype=dtype)
    audio = torch.zeros(1, shape.mel_frames, model.config.mel_bins, device=device, dtype=dtype)
    conditions = Conditions(
        caption=torch.zeros(1, text.caption_length, text.caption_dim, device=device, dtype=dtype),
        speech_ids=torch.zeros(1, CHARACTERS, dtype=torch.long, device=device),
        speech_lengths=torch.full((1,), CHARACTERS, device=device),
        reference_image=video[:, :, :1],
        interaction=one.interaction,
        skip_layer=one.skip_layer,
    )
    times = [torch.zeros(1, n, device=device) for n in (shape.latent_frames, shape.mel_frames)]
    keep_masks = [torch.zeros_like(time, dtype=torch.bool) for time in times]
    if one.region:
        keep_masks[0] = torch.zeros((1, *shape.video[2:]), dtype=torch.bool, device=device)
        keep_masks[0][..., : shape.video[-1] // 2] = True
        times[0] = 500.0 * ~keep_masks[0]
    return model(video, audio, tuple(times), conditions, tuple(keep_masks))


def pass_flops_by_parts(
    config: ModelConfig, shape: AVShape, one: Pass, form: type[JointModel] = JointModel, device: str = "meta"
) -> int:
    """Count the FLOPs of one pass by extrapolation from two layers, since all layers cost the same.

    The result equals that of ``pass_flops`` for the same configuration, in a tenth of the time.
    """

    def count(interaction: Interaction, skip_layer: int | None) -> int:
        return _two_layers(config, shape, Pass(interaction, skip_layer), form, device)

    with_both = count(Interaction.BOTH, 1)
    layer = count(Interaction.BOTH, None) - with_both
    first = count(one.interaction, 1)
    exchange = first - count(Interaction.BOTH, 0)
    run = [number for number in range(config.num_layers) if number != one.skip_layer]
    exchanges = sum(config.interaction_of(number) is not None for number in run)
    return first + (len(run) - 1) * layer + (exchanges - 1) * exchange


@cache
def _two_layers(config: ModelConfig, shape: AVShape, one: Pass, form: type[JointModel], device: str) -> int:
    """Count the FLOPs of one pass of a network with two layers, of which only the first interacts."""
    with torch.device(device):
        model = form(replace(config, num_layers=2, num_interactions=1))
    return pass_flops(model, shape, one)


def step_passes() -> tuple[Pass, Pass, Pass]:
    """The pass with conditions, and the null passes of the schedule's first and second half."""
    return Pass(), Pass(Interaction.OFF, SKIP_LAYER), Pass(Interaction.BOTH, SKIP_LAYER)


def step_of(cond: float, early: float, late: float) -> float:
    """Cost of a step, from the costs of its pass with conditions and both null passes."""
    return cond + (early + late) / 2


def step_tflop(width: int, height: int, form: type[JointModel] = JointModel) -> float:
    """Teraflop of one sampling step of an 81-frame clip, ``width`` x ``height`` pixels, at the released size."""
    shape = AVShape(width, height, VIDEO_FRAMES)
    return step_of(*(pass_flops_by_parts(RELEASED, shape, one, form) for one in step_passes())) / TERA


def growth(config: ModelConfig, seconds: int, width: int, height: int, device: str = "meta") -> dict[str, int]:
    """Count the FLOPs of one pass with both directions and a reference image at a length.

    Returns:
        ``seconds``, the clip's ``latents``, and the FLOPs of all interactions as ``interaction``, of the video branch's
        self-attention without projections, which grow quadratically, as ``attention``, and of the pass as ``total``.
    """
    shape = AVShape(width, height, 4 * (FPS * seconds // 4) + 1)
    total, apart = (
        pass_flops_by_parts(config, shape, Pass(interaction), device=device)
        for interaction in (Interaction.BOTH, Interaction.OFF)
    )
    _, _, latents, rows, columns = shape.video
    tokens = (latents + 1) * (rows // config.patch_size) * (columns // config.patch_size)
    attention = config.num_layers * 4 * tokens**2 * config.video.dim
    interaction = total - apart
    return {
        "seconds": seconds, "latents": latents, "interaction": interaction, "attention": attention, "total": total,
    }  # fmt: skip


def add_options(parser: ArgumentParser) -> None:
    """Add the option that selects the passes to count."""
    parser.add_argument("--growth", action="store_true", help="count passes of 5 to 60 seconds, at 736x736")


def measure(options: Namespace) -> dict:
    """Count one step at every size, in the network's and in the naive form, or passes by length."""
    if options.growth:
        return {"growth": [growth(RELEASED, seconds, *SIZES[-1]) for seconds in LENGTHS]}
    forms = (("step_tflop", JointModel), ("naive_step_tflop", naive_model()))
    return {
        f"{key}_{width}x{height}": round(step_tflop(width, height, form), 3)
        for key, form in forms
        for width, height in SIZES
    }


def growth_table(lengths: list[dict]) -> str:
    """Format the growth as text, a row per length."""
    rows = [
        "One pass with both directions, 736x736, released size",
        f"{'seconds':>8} {'latents':>8} {'interaction':>12} {'of the pass':>12} {'pass':>9} {'squared part':>13}",
        f"{'':17} {'GFLOP/latent':>12} {'':12} {'TFLOP':>9} {'TFLOP':>13}",
    ]
    for one in lengths:
        each, share = one["interaction"] / one["latents"] / 1e9, one["interaction"] / one["total"]
        total, squared = one["total"] / TERA, one["attention"] / TERA
        rows.append(f"{one['seconds']:8} {one['latents']:8} {each:12.1f} {share:12.2%} {total:9.1f} {squared:13.1f}")
    return "\n".join(rows)


def table(results: dict) -> str:
    """Format the results as text, a row per size or length."""
    if "growth" in results:
        return growth_table(results["growth"])
    rows = ["One sampling step, 81 frames, released size, teraflop", f"{'size':>10} {'network':>9} {'naive':>9}"]
    for width, height in SIZES:
        size = f"{width}x{height}"
        rows.append(f"{size:>10} {results[f'step_tflop_{size}']:9.1f} {results[f'naive_step_tflop_{size}']:9.1f}")
    return "\n".join(rows)
