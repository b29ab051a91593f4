"""Sample a talking video on several devices: ``torchrun --nproc-per-node 2 -m uniavgen_core.parallel IMAGE TEXT``.

The file is one of *UniAVGen Save AV Latent*, for *UniAVGen Load AV Latent* and the decoding nodes. Without ``torchrun``
one device samples the same.
"""

import argparse
import json
import os
import sys
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh

from ..atomic_write import atomic_write
from ..bundled.bundled_files import BUNDLED_MODEL
from ..checkpoint.latent_metadata import LATENT_FORMAT, LATENT_KEY
from ..checkpoint.load_weights import load_model
from ..checkpoint.own_sampling import own_sampling, suitable_preset
from ..checkpoint.trained_on import trained_on
from ..checkpoint.weight_files import WeightFiles
from ..config import ModelConfig
from ..diffusion.sampler import Latents
from ..diffusion.sampling_presets import NO_GUIDANCE, TOON_STEPS
from ..media.video.frames import codec_pixels, fit_size, resize_frames, to_rgb
from ..model.conditions import Conditions
from ..pipeline import SampleConfig, keep_first_frame, sample
from ..shapes import SPATIAL_FACTOR, AVShape
from ..text.speech_tensors import SpokenText, speech_tensors
from ..training.data.clip_encoders import BUNDLED, open_encoders
from ..training.flow_matching import to_device
from .sequence_group import SequenceGroup
from .split_model import SplitJointModel


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="uniavgen_core.parallel", description=__doc__)
    add = parser.add_argument
    add("image", type=Path, help="first frame of the video")
    add("transcript", help="what is said")
    add("--caption", default="", help="what is seen")
    add("--model", type=Path, default=BUNDLED_MODEL, help="safetensors file; the bundled model if left out")
    add("--encoders", default=BUNDLED, help="bundled, or a folder like Wan2.2-TI2V-5B-Diffusers; they fit the model")
    add("--seconds", type=float, default=2.0, help="length of the clip")
    add("--short-side", type=int, default=128, help="shorter side of the video, pixels, a multiple of 32")
    add("--steps", type=int, help=f"Euler steps; by default as suits the model: {TOON_STEPS} for the bundled one")
    add("--seed", type=int, default=0, help="seed of the noise")
    add("--out", type=Path, default=Path("output/av_latent.safetensors"), help="file to write")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """Sample; every process of ``torchrun`` runs this, and the first one writes the file."""
    options = parse(arguments)
    try:
        device, group = open_group()
        latents = sample_clip(options, device, group)
    except (ValueError, ImportError, OSError) as error:
        print(error, file=sys.stderr)  # noqa: T201 - a command line talks
        return 2
    if group is None or group.rank == 0:
        write_latents(options.out, latents)
        print(options.out)  # noqa: T201
    if group is not None:
        dist.destroy_process_group()
    return 0


def open_group() -> tuple[torch.device, SequenceGroup | None]:
    """Device of this process, and the processes that ``torchrun`` has started with it; None for one alone."""
    kind, processes = ("cuda" if torch.cuda.is_available() else "cpu"), int(os.environ.get("WORLD_SIZE", "1"))
    device = torch.device(kind, int(os.environ.get("LOCAL_RANK", "0"))) if kind == "cuda" else torch.device(kind)
    if processes == 1:
        return device, None
    return device, SequenceGroup(init_device_mesh(kind, (processes,), mesh_dim_names=("sequence",)))


def sample_clip(options: argparse.Namespace, device: torch.device, group: SequenceGroup | None) -> Latents:
    """Video latents (1, 48, T, H, W) and normalised mel (1, S, 80) that the command line asks for."""
    encoded = [encode(options) if group is None or group.rank == 0 else None]
    if group is not None:  # The text encoder is larger than the network; one process has it.
        dist.broadcast_object_list(encoded, src=0)
    assert encoded[0] is not None
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    reference, caption, null_caption = (x.to(device, dtype) for x in encoded[0])
    model = load_model(options.model, dtype).to(device)
    config = config_of(options, model.config)
    if group is not None:
        model = SplitJointModel.of(model, group)
    height, width = (SPATIAL_FACTOR * side for side in reference.shape[3:])
    shape = AVShape.from_seconds(width, height, options.seconds)
    generator = torch.Generator().manual_seed(options.seed)
    video, audio = (torch.randn(size, generator=generator).to(device) for size in (shape.video, shape.audio[1:]))
    conditions, null = (
        Conditions(features, **speech_tensors([SpokenText(text)], model.config.text), reference_image=reference)
        for features, text in ((caption, options.transcript), (null_caption, None))
    )
    conditions, null = to_device(conditions, device), to_device(null, device)
    kept = keep_first_frame(reference, video, audio)
    return sample(model, conditions, null, kept, (video, audio), config)


def config_of(options: argparse.Namespace, model: ModelConfig) -> SampleConfig:
    """Settings of sampling that suit the model, with the steps of the command line."""
    metadata = WeightFiles(options.model).metadata
    preset = suitable_preset(own_sampling(metadata), trained_on(model, metadata))
    return SampleConfig(options.steps or preset.steps, preset.shift, preset.guidance or NO_GUIDANCE)


def encode(options: argparse.Namespace) -> tuple[Tensor, Tensor, Tensor]:
    """Latent of the image, (1, 48, 1, H, W), and features of the caption and of none, (1, L, D)."""
    encoders = open_encoders(options.encoders)
    with Image.open(options.image) as picture:
        pixels = torch.from_numpy(np.array(picture.convert("RGB")))[None]
    frame = resize_frames(to_rgb(pixels)[0], *fit_size(pixels.shape[2], pixels.shape[1], options.short_side))
    reference = encoders.video(codec_pixels((frame * 255).round().byte().numpy()))
    return reference[None], encoders.caption(options.caption)[None], encoders.caption("")[None]


def write_latents(path: Path, latents: Latents) -> None:
    """Write the file as the pack's nodes read it."""
    video, audio = (x.cpu().contiguous() for x in latents)
    path.parent.mkdir(parents=True, exist_ok=True)
    own = {"format": LATENT_FORMAT, "pack": "script", "values": {}}
    with atomic_write(path) as partial:
        tensors = {"samples.video": video, "samples.audio": audio[:, None]}
        save_file(tensors, partial, metadata={LATENT_KEY: json.dumps(own)})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
