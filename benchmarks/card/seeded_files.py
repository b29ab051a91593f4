"""Files of the released model's sizes with seeded weights: network, text encoder, VAE and vocoder.

They have the names, shapes and formats of the real files, so that the pack's own loaders read them. Their values are
random, which changes neither time nor memory.
"""

import shutil
from collections.abc import Callable, Mapping
from importlib import import_module
from math import prod
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from uniavgen_core.atomic_write import atomic_write
from uniavgen_core.checkpoint.bigvgan_files import VOCODER_FOLDER, WEIGHTS_FILE
from uniavgen_core.checkpoint.config_from_weights import metadata_of
from uniavgen_core.checkpoint.umt5_files import SPIECE
from uniavgen_core.model.joint import JointModel
from uniavgen_core.shapes import LATENT_CHANNELS

from .findings import Findings
from .parity import own_tests
from .scale import Run, Scale

NETWORK, ENCODER, VAE = "uniavgen.safetensors", "umt5_xxl.safetensors", "wan2.2_vae.safetensors"
ZEROS, ONES = ("bias", "alpha", "beta"), ("gamma",)
"""Last parts of the names of tensors that start at one value."""
TWICE = ("encoder.embed_tokens.weight",)
"""Another name of umT5's shared embedding."""


def write_files(findings: Findings, run: Run) -> None:
    """Write those files that the folder lacks.

    Raises:
        OSError: If the disk has no room for them.
    """
    scale, folder = run.scale, run.work
    writers: dict[Path, Callable[[Path], None]] = {
        folder / NETWORK: lambda path: _save(_network(scale), path, scale, metadata_of(scale.config)),
        folder / ENCODER: lambda path: _save(_encoder(scale), path, scale, extra={SPIECE: _pieces()}),
        folder / VAE: lambda path: _save(_vae(scale), path, scale),
        folder / VOCODER_FOLDER / WEIGHTS_FILE: lambda path: _save(_vocoder(scale, path.parent), path, scale),
    }
    for path, write in writers.items():
        if not path.is_file():
            path.parent.mkdir(exist_ok=True)
            with atomic_write(path) as partial:
                write(partial)
            findings.add("seeded files", path.name, {"GB": round(path.stat().st_size / 1e9, 2)})


def _network(scale: Scale) -> nn.Module:
    with torch.device("meta"):
        return JointModel(scale.config)


def _encoder(scale: Scale) -> nn.Module:
    """Umt5 in the names of transformers, which are those of ComfyUI's files."""
    transformers = import_module("transformers")  # Imported lazily, because that takes seconds.
    config = transformers.UMT5Config(**scale.encoder, feed_forward_proj="gated-gelu")
    with torch.device("meta"):
        return transformers.UMT5EncoderModel(config)


def _pieces() -> Tensor:
    """A small sentencepiece model inside the encoder's file; its ids are below the encoder's vocabulary."""
    own_tests()
    return torch.frombuffer(bytearray(import_module("tests.nodes.encoders").sentencepiece_model()), dtype=torch.uint8)


def _vae(scale: Scale) -> nn.Module:
    """Wan2.2's VAE, with the sizes that ComfyUI gives it."""
    with torch.device("meta"):
        return import_module("comfy.ldm.wan.vae2_2").WanVAE(
            **scale.vae,
            z_dim=LATENT_CHANNELS,
            dim_mult=[1, 2, 4, 4],
            num_res_blocks=2,
            attn_scales=[],
            temperal_downsample=[False, True, True],
            dropout=0.0,
        )


def _vocoder(scale: Scale, folder: Path) -> nn.Module:
    """BigVGAN, whose configuration is written beside its weights."""
    kind = import_module("transformers").Qwen2_5OmniToken2WavBigVGANModel
    config = kind.config_class(upsample_initial_channel=scale.vocoder_channels)
    config.save_pretrained(folder)
    with torch.device("meta"):
        return kind(config)


def _save(
    network: nn.Module,
    path: Path,
    scale: Scale,
    metadata: Mapping[str, str] | None = None,
    extra: Mapping[str, Tensor] | None = None,
) -> None:
    """Write seeded weights for all parameters of a network.

    Raises:
        OSError: If the disk has no room for them.
    """
    shapes = {name: tuple(parameter.shape) for name, parameter in network.named_parameters() if name not in TWICE}
    needed, free = sum(map(prod, shapes.values())) * scale.dtype.itemsize, shutil.disk_usage(path.parent).free
    if needed > free:
        raise OSError(f"{path.parent} has room for {free / 1e9:.1f} GB, and {path.name} takes {needed / 1e9:.1f} GB.")
    generator = torch.Generator(scale.device).manual_seed(0)
    tensors = {name: seeded(name, shape, scale, generator).cpu() for name, shape in shapes.items()}
    save_file(tensors | dict(extra or {}), path, metadata=dict(metadata or {}))


def seeded(name: str, shape: tuple[int, ...], scale: Scale, generator: torch.Generator) -> Tensor:
    """Weights of a tensor that keep the size of what passes through the layer, in the scale's dtype on its device."""
    leaf = name.rsplit(".", 1)[-1]
    place = {"device": scale.device, "dtype": scale.dtype}
    if leaf in ZEROS:
        return torch.zeros(shape, **place)
    if leaf in ONES or len(shape) == 1:
        return torch.ones(shape, **place)
    fan_in = shape[-1] if leaf == "modulation" else prod(shape[1:])
    return torch.randn(shape, generator=generator, **place) * fan_in**-0.5
