"""Error of a quantised checkpoint in the network's output, measured on one seeded pass.

The network keeps the original's weights, memory-mapped. Each quantised layer gets its dequantised weight only while it
runs, so that two networks are never in memory.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from ..model.audio_branch import AudioModel
from ..model.conditions import Conditions
from ..model.video_branch import VideoModel
from .comfy_layers import format_of
from .gguf_file import SUFFIX, GgufFile
from .load_weights import AnyModel, load_any
from .quantize_weights import relative_error
from .weight_files import WeightFiles

Read = Callable[[tuple[int, ...]], Tensor]
"""Function from a weight's shape to the dequantised weight, float32."""
LATENTS, TOKENS, SIDE, TIMESTEP = 3, 56, 4, 700.0
"""Inputs of the pass: 9 video frames (3 latent frames of 4x4 tokens), 56 mel frames, and a timestep of 0 to 1000."""


def velocity_error(original: Path, quantised: Path) -> dict[str, float]:
    """Compare one pass of a quantised file with one of its original.

    The pass runs in bfloat16 if most weights of the original are, else in float32.

    Returns:
        Relative L2 error of the velocity of ``video`` and ``audio``, or of the single branch.
    """
    entries = WeightFiles(original).entries.values()
    half = sum(entry.dtype == torch.bfloat16 for entry in entries) > len(entries) / 2
    dtype = torch.bfloat16 if half else torch.float32
    model = load_any(original, dtype=dtype)
    with torch.inference_mode():
        want = predict_velocities(model, dtype)
        quantise_while_running(model, quantised_weights(quantised))
        got = predict_velocities(model, dtype)
    return {name: relative_error(got[name], want[name]) for name in want}


def predict_velocities(model: AnyModel, dtype: torch.dtype) -> dict[str, Tensor]:
    """Velocities of each modality, from one pass over random inputs that are always the same."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(dtype)

    config = model.config
    side = SIDE * config.patch_size
    conditions = Conditions(
        caption=draw(1, 8, config.text.caption_dim),
        speech_ids=torch.randint(0, config.text.vocabulary - 1, (1, 12), generator=generator),
        reference_image=draw(1, config.latent_channels, 1, side, side),
    )
    times = (torch.full((1, LATENTS), TIMESTEP), torch.full((1, TOKENS), TIMESTEP))
    video, audio = draw(1, config.latent_channels, LATENTS, side, side), draw(1, TOKENS, config.mel_bins)
    if isinstance(model, VideoModel):
        return {"video": model(video, times[0], conditions)}
    if isinstance(model, AudioModel):
        return {"audio": model(audio, times[1], conditions)}
    output = model(video, audio, times, conditions)
    return {"video": output.video, "audio": output.audio}


def quantised_weights(path: Path) -> dict[str, Read]:
    """Functions that read the dequantised weight of each layer of a file."""
    if path.suffix == SUFFIX:
        packed = GgufFile(path)
        names = packed.kinds
        return {name.removesuffix(".weight"): lambda _, name=name: packed.tensor(name) for name in names}
    files = WeightFiles(path)
    layers = [name.removesuffix(".comfy_quant") for name in files.entries if name.endswith(".comfy_quant")]

    def read(layer: str, shape: tuple[int, ...]) -> Tensor:
        names = [name for name in files.entries if name.startswith(f"{layer}.")]
        tensors = {name.removeprefix(f"{layer}."): tensor for name, tensor in files.tensors(names)}
        return format_of(tensors["comfy_quant"]).unpack(tensors, shape)

    return {layer: partial(read, layer) for layer in layers}


def quantise_while_running(model: AnyModel, weights: Mapping[str, Read]) -> None:
    """Replace the weight of every quantised layer by its dequantised one during its forward pass."""
    for layer, read in weights.items():
        original = model.get_parameter(f"{layer}.weight")

        def enter(module: nn.Module, _: tuple, read: Read = read) -> None:
            weight = module.get_parameter("weight")
            module.weight = nn.Parameter(read(tuple(weight.shape)).to(weight.dtype), requires_grad=False)

        def leave(module: nn.Module, *_: object, original: nn.Parameter = original) -> None:
            module.weight = original

        model.get_submodule(layer).register_forward_pre_hook(enter)
        model.get_submodule(layer).register_forward_hook(leave)
