"""Least time on a card of what encodes and decodes at the released size: umT5, Wan2.2's VAE, a tiny one, BigVGAN.

They are ComfyUI's own classes, and BigVGAN the pack's, on tensors without memory; see ``roofline`` for how operators
are timed. BigVGAN runs in float32 without TF32, as in the pack.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from tools.pack import load_pack
from uniavgen_core.config import RELEASED
from uniavgen_core.shapes import LATENT_CHANNELS, AVShape

from .clip_parts import ENCODING, PICTURE, SOUND, TEXTS
from .peers import comfy_ops
from .roofline import count, without_memory
from .train import default_dtype

TEXT_TOKENS = 512
"""Tokens of a caption; ComfyUI fills shorter ones up."""
CAPTIONS = 2
TINY = "tiny VAE decode"


@dataclass(frozen=True)
class Card:
    """Speeds of a card: teraflop a second in bfloat16 and in float32, and terabytes of memory a second."""

    teraflop: float
    float32_teraflop: float
    terabyte: float


def coding_seconds(card: Card, shape: AVShape) -> dict[str, float]:
    """Least seconds of each part for a clip, by name."""
    parts: dict[str, Callable[[AVShape], Callable[[], Any]]] = {
        TEXTS: _texts, ENCODING: _encode, PICTURE: _decode, TINY: _tiny,
    }  # fmt: skip
    found = {}
    for name, make in parts.items():
        with without_memory(RELEASED, shape), _fused_attention():
            found[name] = _seconds(make(shape), card.teraflop, card.terabyte)
    # Its filters are computed from numbers, which fake tensors have not, and it returns its sound to the CPU.
    with torch.device("meta"), patch.object(torch.Tensor, "cpu", lambda sound: sound), torch.no_grad():
        found[SOUND] = _seconds(_vocoder(shape), card.float32_teraflop, card.terabyte)
    return found


@contextmanager
def _fused_attention() -> Iterator[None]:
    """Let ComfyUI take PyTorch's attention, as it does on a card."""
    management = import_module("comfy.model_management")
    names = ("pytorch_attention_enabled", "pytorch_attention_enabled_vae")
    with ExitStack() as stack:
        for name in names:
            stack.enter_context(patch.object(management, name, lambda: True))
        yield


def _seconds(run: Callable[[], Any], teraflop: float, terabyte: float) -> float:
    return sum(count(run, teraflop, terabyte).seconds.values())


def _texts(shape: AVShape) -> Callable[[], Any]:
    """Both captions of a guided run."""
    del shape
    module = import_module("comfy.text_encoders.t5")
    config = json.loads((Path(str(module.__file__)).parent / "umt5_config_xxl.json").read_text(encoding="utf-8"))
    encoder = module.T5(config, torch.bfloat16, "cuda", comfy_ops("cpu").disable_weight_init)
    tokens = torch.zeros(CAPTIONS, TEXT_TOKENS, dtype=torch.long)
    return partial(encoder, tokens, torch.ones(CAPTIONS, TEXT_TOKENS), dtype=torch.bfloat16)


def _vae() -> Any:
    sizes = load_pack().nodes.host.media.video_vae_files.WAN_SIZES
    with default_dtype(torch.bfloat16):
        return import_module("comfy.ldm.wan.vae2_2").WanVAE(**sizes)


def _encode(shape: AVShape) -> Callable[[], Any]:
    """The reference image."""
    return partial(_vae().encode, torch.zeros(1, 3, 1, shape.height, shape.width, dtype=torch.bfloat16))


def _decode(shape: AVShape) -> Callable[[], Any]:
    return partial(_vae().decode, torch.zeros(shape.video, dtype=torch.bfloat16))


def _tiny(shape: AVShape) -> Callable[[], Any]:
    with default_dtype(torch.bfloat16):
        codec = import_module("comfy.taesd.taehv").TAEHV(LATENT_CHANNELS)
    return partial(codec.decode, torch.zeros(shape.video, dtype=torch.bfloat16))


def _vocoder(shape: AVShape) -> Callable[[], Any]:
    kind = import_module("transformers").Qwen2_5OmniToken2WavBigVGANModel
    return partial(kind(kind.config_class()), torch.zeros(1, RELEASED.mel_bins, shape.mel_frames))
