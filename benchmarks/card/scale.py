"""Sizes of the measurement: those of the released model on a card, and small ones to rehearse every line on a CPU."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from uniavgen_core.config import RELEASED, BranchConfig, ModelConfig
from uniavgen_core.shapes import AVShape

from ..flops import SIZES, VIDEO_FRAMES
from ..train import TrainSize

UMT5_XXL = {
    "vocab_size": 256_384, "d_model": 4096, "d_kv": 64, "d_ff": 10_240, "num_layers": 24, "num_heads": 64,
}  # fmt: skip


@dataclass(frozen=True)
class Scale:
    """Sizes of everything that runs.

    Attributes:
        device: Kind of device.
        dtype: Dtype of the network.
        config: Configuration of the network.
        encoder: Sizes of the umT5 text encoder, by transformers' names.
        vae: Widths of the encoder and the decoder of Wan2.2's VAE, by ComfyUI's names.
        vocoder_channels: Channels of BigVGAN.
        shapes: Sizes of a clip; the first is that of the whole clip.
        steps: Sampling steps of the whole clips, in the order in which they run.
        rounds: Runs of every timed pass.
        cases: Recorded cases of each kind that are compared; None for all.
        compiler: Backend of ``torch.compile``.
        train: Size of the training; None for the largest of the released network that the card holds.
        toon: Side of the bundled model's picture, pixels, and its video frames.
    """

    device: str
    dtype: torch.dtype
    config: ModelConfig
    encoder: Mapping[str, int]
    vae: Mapping[str, int]
    vocoder_channels: int
    shapes: tuple[AVShape, ...]
    steps: tuple[int, ...]
    rounds: int
    cases: int | None
    compiler: str
    train: TrainSize | None
    toon: tuple[int, int]


FULL = Scale(
    device="cuda",
    dtype=torch.bfloat16,
    config=RELEASED,
    encoder=UMT5_XXL,
    vae={"dim": 160, "dec_dim": 256},
    vocoder_channels=1536,
    shapes=tuple(AVShape(*size, VIDEO_FRAMES) for size in SIZES),
    steps=(4, 12, 50),
    rounds=5,
    cases=None,
    compiler="inductor",
    train=None,
    toon=(128, 33),
)
SMALL = replace(
    RELEASED,
    video=BranchConfig(256, 320, 2),  # heads as wide as the release's, which kernels and ComfyUI's Wan2.2 want
    audio=BranchConfig(128, 160, 1),
    text=replace(RELEASED.text, speech_dim=32, speech_ffn_dim=48, speech_blocks=1, caption_dim=24),
    num_layers=2,
    num_interactions=1,
)
TOY = Scale(
    device="cpu",
    dtype=torch.bfloat16,
    config=SMALL,
    encoder={"vocab_size": 424, "d_model": 24, "d_kv": 8, "d_ff": 40, "num_layers": 2, "num_heads": 3},
    vae={"dim": 8, "dec_dim": 8},
    vocoder_channels=64,
    shapes=(AVShape(64, 64, 33),),
    steps=(1, 2),
    rounds=1,
    cases=1,
    compiler="eager",
    train=TrainSize(2, AVShape(64, 64, 9), steps=2, network=SMALL),
    toon=(64, 9),
)


@dataclass(frozen=True)
class Run:
    """Settings of one part's run.

    Attributes:
        scale: Sizes of everything that runs.
        work: Folder for files of weights, which other parts find there.
        limit_gib: Memory of the smaller card whose place this one takes, GiB; None for all of its memory.
    """

    scale: Scale
    work: Path
    limit_gib: int | None
