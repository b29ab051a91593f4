"""Names and shapes of the tensors of a saved joint latent, and all that is checked of them before they are read.

Dimension key: B batch, K audio tracks, T video latents, H and W latent rows and columns, S mel frames.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import torch

from ....uniavgen_core.checkpoint.checked_files import shown
from ....uniavgen_core.checkpoint.write_safetensors import Layout
from ....uniavgen_core.shapes import LATENT_CHANNELS, MEL_BINS
from .joint_latent import AUDIO_DIMS, VIDEO_DIMS, shapes_error

PARTS = ("video", "audio")
"""Parts of a nested entry; its tensors are ``NAME.video`` and ``NAME.audio``."""
SAMPLES, MASK, INDEX = "samples", "noise_mask", "batch_index"
FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
MOST_NOISES = 4096
"""Bound of a batch index: ComfyUI draws the noise of as many clips before it can be cancelled."""


def part_names(entry: str) -> list[str]:
    """Names of the tensors of a nested entry."""
    return [f"{entry}.{part}" for part in PARTS]


def nested_entries(names: Iterable[str]) -> set[str]:
    """Nested entries among tensors of these names."""
    return {name.partition(".")[0] for name in names if "." in name}


def layout_fault(layout: Layout, values: Mapping[str, Any]) -> str | None:
    """Half a sentence about tensors or values that no joint latent has; None if they are right.

    Args:
        layout: Tensor name to dtype and shape.
        values: Plain entries of the latent.
    """
    return (
        _names_fault(set(layout))
        or _samples_fault(layout)
        or _mask_fault(layout, values)
        or _index_fault(layout, values)
    )


def _names_fault(names: set[str]) -> str | None:
    nested = nested_entries(names)
    expected = {name for entry in nested for name in part_names(entry)}
    odd = ({name for name in names if "." in name} ^ expected) | (nested & names)
    return f"the tensors {shown(', '.join(sorted(odd)))} are missing or belong to no latent" if odd else None


def _samples_fault(layout: Layout) -> str | None:
    parts = [layout[name] for name in part_names(SAMPLES) if name in layout]
    shapes, dtypes = [shape for _, shape in parts], {dtype for dtype, _ in parts}
    if shapes_error(shapes) or any(0 in shape for shape in shapes):
        return (
            f"its shapes are {shown(shapes)}, but a UniAVGen latent of video and audio has "
            f"(B, {LATENT_CHANNELS}, T, H, W) and (B, K, S, {MEL_BINS})"
        )
    if shapes[0][0] != shapes[1][0]:
        return f"it holds the video of {shapes[0][0]} clips and the audio of {shapes[1][0]}"
    if not dtypes <= set(FLOATS):
        return f"its video and audio are stored as {', '.join(map(str, dtypes))}, not as floating-point numbers"
    return None


def _mask_fault(layout: Layout, values: Mapping[str, Any]) -> str | None:
    if values.get(MASK) is not None:
        return f"its {MASK} is no tensor"
    video, audio = part_names(MASK)
    for name, most_dims in ((MASK, VIDEO_DIMS), (video, VIDEO_DIMS), (audio, AUDIO_DIMS)):
        dtype, shape = layout.get(name, (FLOATS[0], (1, 1)))
        if dtype not in FLOATS or 0 in shape or not 2 <= len(shape) <= most_dims:
            return f"its {name} has the shape {shown(shape)} and the dtype {dtype}, which is no noise mask of a clip"
    return None


def _index_fault(layout: Layout, values: Mapping[str, Any]) -> str | None:
    numbers, clips = values.get(INDEX), layout[part_names(SAMPLES)[0]][1][0]
    is_list = isinstance(numbers, list) and len(numbers) == clips
    if numbers is None or (is_list and all(type(number) is int and 0 <= number < MOST_NOISES for number in numbers)):
        return None
    return f"its {INDEX} is {shown(numbers)}, not a number below {MOST_NOISES} for each of its {clips} clips"
