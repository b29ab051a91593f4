"""Paths of the bundled model's files, and loading of its video codec."""

from pathlib import Path

import torch
from safetensors.torch import load_file

from .video_codec import VideoCodec

ASSETS = Path(__file__).parents[1] / "assets"
MODEL_FILE, CODEC_FILE = "uniavgen_toon.safetensors", "toon_video_codec.safetensors"
BUNDLED_MODEL, BUNDLED_VIDEO_CODEC = ASSETS / MODEL_FILE, ASSETS / CODEC_FILE


def load_codec(path: Path = BUNDLED_VIDEO_CODEC) -> VideoCodec:
    """Load the codec from a state dict or a safetensors file, in float32 on the CPU."""
    codec = VideoCodec()
    codec.load_state_dict(load_file(path) if path.suffix == ".safetensors" else torch.load(path, weights_only=True))
    # torch declares no form of ``to`` with this argument alone, though its page names one.
    return codec.eval().to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
