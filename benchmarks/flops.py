"""Arithmetic of one sampling step at the released size, counted on the meta device: no weights, no accelerator.

A step is one pass with conditions and one null pass; the null pass is averaged over the two halves of the schedule
(without and with interaction) and leaves one layer out. The task is joint generation of picture and voice from an image.
The naive form gives every audio token its own context and every video token its own time embedding, and computes both
directions even when they are off, as the inference release does.
"""

import importlib.util
from dataclasses import replace
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from uniavgen_core.config import RELEASED, GuidanceConfig, Interaction, ModelConfig
from uniavgen_core.model.joint import Conditions, JointModel
from uniavgen_core.shapes import AVShape

SIZES = ((1280, 736), (736, 736))
VIDEO_FRAMES = 81
CHARACTERS = 80
NULL_CHARACTERS = 10
TERA = 1e12
SKIPPED_LAYER = GuidanceConfig().skipped_layer


def naive_model() -> type[JointModel]:
    """The naive form of the network, which lives with the tests."""
    path = Path(__file__).parents[1] / "tests" / "oracle.py"
    spec = importlib.util.spec_from_file_location("uniavgen_oracle", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.NaiveModel


def pass_flops(
    config: ModelConfig,
    shape: AVShape,
    interaction: Interaction = Interaction.BOTH,
    characters: int = CHARACTERS,
    skipped_layer: int | None = None,
    model_class: type[JointModel] = JointModel,
) -> int:
    """Count one pass of the whole network.

    Args:
        config: Sizes of the network.
        shape: Size of the clip.
        interaction: Directions that are on.
        characters: Characters of the transcript.
        skipped_layer: Layer left out, or None.
        model_class: The network's form.

    Returns:
        Floating point operations; a multiplication with its addition counts as two.
    """
    with torch.device("meta"):
        model = model_class(config)
        video = torch.empty(shape.video)
        audio = torch.empty(1, shape.mel_frames, config.mel_bins)
        conditions = Conditions(
            caption=torch.empty(1, config.text.caption_length, config.text.caption_dim),
            speech_ids=torch.empty(1, characters, dtype=torch.long),
            speech_lengths=torch.empty(1, dtype=torch.long),
            reference_image=video[:, :, :1],
            interaction=interaction,
            skipped_layer=skipped_layer,
        )
        times = torch.empty(1, shape.latent_frames), torch.empty(1, shape.mel_frames)
        kept = tuple(time.bool() for time in times)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model(video, audio, times, conditions, kept)
    return counter.get_total_flops()


def pass_flops_by_parts(
    config: ModelConfig,
    shape: AVShape,
    interaction: Interaction = Interaction.BOTH,
    characters: int = CHARACTERS,
    skipped_layer: int | None = None,
    model_class: type[JointModel] = JointModel,
) -> int:
    """Count one pass from networks of one, two and three layers: layers are alike, and so are interactions.

    Gives what ``pass_flops`` gives, sooner; arguments are the same.
    """

    def count(layers: int, interactions: int) -> int:
        small = replace(config, num_layers=layers, num_interactions=interactions)
        return pass_flops(small, shape, interaction, characters, None, model_class)

    one, two, three = count(1, 1), count(2, 1), count(3, 2)
    layer = two - one
    exchange = three - two - layer
    run = [number for number in range(config.num_layers) if number != skipped_layer]
    exchanges = sum(config.interaction_of(number) is not None for number in run)
    return one + (len(run) - 1) * layer + (exchanges - 1) * exchange


def step_tflop(
    width: int, height: int, model_class: type[JointModel] = JointModel, config: ModelConfig = RELEASED
) -> float:
    """Teraflop of one sampling step of an 81-frame clip, ``width`` x ``height`` pixels."""
    shape = AVShape(width, height, VIDEO_FRAMES)
    cond = pass_flops_by_parts(config, shape, model_class=model_class)
    early, late = (
        pass_flops_by_parts(config, shape, interaction, NULL_CHARACTERS, SKIPPED_LAYER, model_class)
        for interaction in (Interaction.OFF, Interaction.BOTH)
    )
    return (cond + (early + late) / 2) / TERA


def measure() -> dict[str, float]:
    """Count one step at every size, in the network's form and in the naive form."""
    forms = (("step_tflop", JointModel), ("naive_step_tflop", naive_model()))
    return {
        f"{key}_{width}x{height}": round(step_tflop(width, height, model_class), 3)
        for key, model_class in forms
        for width, height in SIZES
    }


def table(results: dict[str, float]) -> str:
    """Results as text, a row per size."""
    rows = ["One sampling step, 81 frames, released size, teraflop", f"{'size':>10} {'network':>9} {'naive':>9}"]
    for width, height in SIZES:
        size = f"{width}x{height}"
        rows.append(f"{size:>10} {results[f'step_tflop_{size}']:9.1f} {results[f'naive_step_tflop_{size}']:9.1f}")
    return "\n".join(rows)
