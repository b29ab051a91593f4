"""Memory of a sampling step at the released size: weights, activations, and what of the weights stays on a card.

Weights are counted from the released structure, activations from the allocations of a traced pass of the released
network. Where there is a CUDA device, activations are measured on it beside that, with random weights of a few layers
and the process's share limited. A guided step runs its passes one after the other: they differ in which parts of the
network run, so ComfyUI does not batch them. What ComfyUI keeps on a card is computed from its rules: what activations,
its reserve, and two units of weights (one that computes, one on its way) leave; the rest of the weights streams in
during every pass. A unit is a layer: its video block, audio block and interaction.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cache
from math import prod

import torch
from torch import nn

from uniavgen_core.checkpoint.quantize_weights import KEPT, MIXES
from uniavgen_core.config import RELEASED, ModelConfig
from uniavgen_core.layers.backend import TORCH
from uniavgen_core.model.joint import JointModel
from uniavgen_core.shapes import LATENT_CHANNELS, SPATIAL_FACTOR, AVShape
from uniavgen_core.training.memory_trace import COUNTED

from .flops import VIDEO_FRAMES, Pass, run_pass
from .peak import LAYERS, cut, pass_peak

SIZES = ((1280, 736), (736, 736), (480, 480))
FORMATS = ("bf16", "fp8 scaled", "Q4_K_M")
LIMITS = (24, 16, 12, 8, 6)
"""Of cards, GiB."""
GIB = 2**30
HALF = 2
"""Bytes of a bfloat16 number."""
CONTEXT = 0.5 * GIB
"""Memory of CUDA and its libraries; an assumption."""
RESERVE, LEAST = 0.4 * GIB, 0.8 * GIB
"""Memory that ComfyUI leaves free (0.6 GiB on Windows), and the least that it counts for activations."""
BUFFERED = 2
"""Units of weights on the card that do not stay: one that computes, and the next."""
PASSES = 2
"""Of a guided step."""
CODEC = 1.41e9
"""Bytes of Wan2.2's VAE in bfloat16."""
DECODE, TILE = 8000, 16
"""ComfyUI's estimate for Wan2.2's VAE, bytes per decoded pixel of one frame and byte of a number; latents of a tile."""


@dataclass(frozen=True)
class Weights:
    """Bytes of a checkpoint.

    Attributes:
        units: Of each layer: video block, audio block, and interaction if it has one.
        around: Of everything else.
        unpacked: Most that one layer's weight takes while it is unpacked for a matrix product.
    """

    units: tuple[int, ...]
    around: int
    unpacked: int

    @property
    def total(self) -> int:
        """All bytes."""
        return sum(self.units) + self.around


def weights_of(config: ModelConfig, kind: str) -> Weights:
    """Count the bytes of a checkpoint in one of ``FORMATS``; what quantising leaves alone stays bfloat16."""
    with torch.device("meta"):
        model = JointModel(config)
    shapes = {name: tuple(value.shape) for name, value in model.named_parameters()}
    packed = set() if kind == "bf16" else {f"{layer}.weight" for layer in quantised_layers(model)}
    units, around = [0] * config.num_layers, 0
    layers = {config.interaction_of(layer): layer for layer in range(config.num_layers)}
    for name, shape in shapes.items():
        size = _bytes(name, shape, kind, config.num_layers) if name in packed else prod(shape) * HALF
        first, number = (*name.split("."), "", "")[:2]
        if first in ("blocks", "audio_blocks"):
            units[int(number)] += size
        elif first in ("a2v_blocks", "v2a_blocks"):
            units[layers[int(number)]] += size
        else:
            around += size
    unpacked = max((prod(shapes[name]) * HALF for name in packed), default=0)
    return Weights(tuple(units), around, unpacked)


def quantised_layers(model: JointModel) -> list[str]:
    """Names of the layers that quantising packs by default."""
    linear = (name for name, module in model.named_modules() if isinstance(module, nn.Linear))
    return [name for name in linear if not any(fnmatchcase(name, pattern) for pattern in KEPT)]


def _bytes(name: str, shape: tuple[int, ...], kind: str, blocks: int) -> int:
    if kind == "fp8 scaled":
        return prod(shape)
    block = MIXES[kind].kind_of(name.removesuffix(".weight"), blocks, shape[-1])
    return prod(shape) * HALF if block is None else prod(shape) * block.value.size // block.value.weights


def fit(weights: Weights, activations: float, limit: float) -> tuple[float, float, bool]:
    """Bytes of weights that stay on a card of ``limit`` bytes, bytes coming in each step, and whether it can run."""
    room = limit - CONTEXT - RESERVE - max(LEAST, activations + weights.unpacked)
    if weights.total <= room:
        return weights.total, 0.0, True
    resident = max(0.0, room - BUFFERED * max(weights.units))
    return resident, PASSES * (weights.total - resident), room >= BUFFERED * max(weights.units)


def decode_bytes(width: int, height: int) -> tuple[int, int]:
    """Bytes for decoding by ComfyUI's estimate, whole and in tiles."""
    whole = DECODE * width * height * HALF
    return whole, min(whole, DECODE * (TILE * SPATIAL_FACTOR) ** 2 * HALF)


def usage_factor(shape: AVShape, activations: int) -> float:
    """ComfyUI's ``memory_usage_factor`` that gives these activations for this clip in half precision."""
    _, _, latents, rows, columns = shape.video
    packed = LATENT_CHANNELS * latents * rows * columns + shape.mel_frames * RELEASED.mel_bins
    return activations / (packed * HALF * 0.01 * 2**20)


@cache
def traced(width: int, height: int, kind: str) -> int:
    """Activations of one pass, bytes, counted on the meta device."""
    return pass_peak(RELEASED, AVShape(width, height, VIDEO_FRAMES), backend=replace(COUNTED, **_seam(kind)))


def _seam(kind: str) -> dict:
    """Effect of a format on how the network runs: layers packed in blocks run once, whole."""
    return {"repeatable": lambda *_: False} if kind in MIXES else {}


def measured(shape: AVShape, share: float, kind: str, config: ModelConfig = RELEASED, device: str = "cuda") -> int:
    """Activations of one pass of the first layers on a CUDA device that may use a share of its memory, bytes."""
    torch.cuda.set_per_process_memory_fraction(share, device)
    model = cut(config, device, replace(TORCH, **_seam(kind)))
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    with torch.no_grad():
        run_pass(model, shape, Pass())
    return torch.cuda.max_memory_allocated(device) - before


def add_options(parser: ArgumentParser) -> None:
    """Nothing can be chosen."""
    del parser


def measure(options: Namespace) -> dict:
    """Count, and where there is a CUDA device measure, for every size, format and card."""
    del options
    weights = {kind: weights_of(RELEASED, kind) for kind in FORMATS}
    return {
        "how": "measured" if torch.cuda.is_available() else "computed",
        "layers_run": LAYERS,
        "weights_gb": {kind: round(one.total / 1e9, 2) for kind, one in weights.items()},
        "unit_gb": {kind: round(max(one.units) / 1e9, 3) for kind, one in weights.items()},
        "around_gb": {kind: round(one.around / 1e9, 3) for kind, one in weights.items()},
        "sizes": [_size(*size, weights) for size in SIZES],
    }


def _size(width: int, height: int, weights: Mapping[str, Weights]) -> dict:
    shape, (whole, tiled) = AVShape(width, height, VIDEO_FRAMES), decode_bytes(width, height)
    counted = {kind: traced(width, height, kind) for kind in FORMATS}
    seen = {(kind, limit): size for kind in FORMATS for limit, size in _on_cards(shape, kind).items()}
    return {
        "size": f"{width}x{height}x{VIDEO_FRAMES}",
        "activations_gb": {kind: round(size / 1e9, 3) for kind, size in counted.items()},
        "usage_factor": {kind: round(usage_factor(shape, size), 4) for kind, size in counted.items()},
        "decode_gb": {"whole": round(whole / 1e9, 2), "tiled": round(tiled / 1e9, 2)},
        "cards": [
            _card(kind, limit, one, seen.get((kind, limit), counted[kind]))
            | {"decode": "whole" if whole + CODEC + CONTEXT + RESERVE <= limit * GIB else "tiled"}
            for kind, one in weights.items()
            for limit in LIMITS
        ],
    }


def _on_cards(shape: AVShape, kind: str) -> dict[int, int]:
    """Measure activations within each card's limit that this device has memory for; without a device nothing."""
    total = torch.cuda.get_device_properties(0).total_memory if torch.cuda.is_available() else 0
    return {limit: measured(shape, limit * GIB / total, kind) for limit in LIMITS if limit * GIB <= total}


def _card(kind: str, limit: int, weights: Weights, activations: int) -> dict:
    resident, streamed, fits = fit(weights, activations, limit * GIB)
    return {
        "format": kind,
        "limit_gib": limit,
        "activations_gb": round(activations / 1e9, 3),
        "fits": fits,
        "resident_gb": round(resident / 1e9, 2),
        "streamed_gb": round(streamed / 1e9, 2),
    }


def table(results: dict) -> str:
    """Results as Markdown, a row per size and format, a column per card."""
    head = " | ".join(f"{limit} GB" for limit in LIMITS)
    said = f"Memory of a step, {results['how']}; activations " + (
        f"on the device with the first {results['layers_run']} layers" if results["how"] == "measured" else "traced"
    )
    weights = ", ".join(f"{kind} {size:.1f}" for kind, size in results["weights_gb"].items())
    lines = [
        f"{said}. A cell: GB of weights that stream in per step (0: all stay on the card), and how the VAE decodes.",
        f"Weights in GB: {weights}.",
        "",
        f"| clip | activations, GB | weights | {head} |",
        "|---" * (3 + len(LIMITS)) + "|",
    ]
    for size in results["sizes"]:
        for kind in FORMATS:
            cells = [_cell(card) for card in size["cards"] if card["format"] == kind]
            lines.append(f"| {size['size']} | {size['activations_gb'][kind]:.2f} | {kind} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(card: dict) -> str:
    return f"{card['streamed_gb']:.1f}, {card['decode']}" if card["fits"] else "does not fit"
