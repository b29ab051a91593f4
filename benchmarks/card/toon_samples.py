"""Samples of the bundled model on the device, against those of the CPU from the same noise."""

from dataclasses import dataclass, replace
from math import log10
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from uniavgen_core.bundled.bundled_files import ASSETS, BUNDLED_MODEL, load_codec
from uniavgen_core.bundled.hashed_captions import hashed_features
from uniavgen_core.checkpoint.load_weights import load_model
from uniavgen_core.config import GuidanceConfig
from uniavgen_core.diffusion.sampler import Latents
from uniavgen_core.diffusion.sampling_presets import TOON_GUIDANCE, TOON_STEPS
from uniavgen_core.media.video.frames import codec_pixels
from uniavgen_core.model.joint import Conditions, JointModel
from uniavgen_core.pipeline import KeptLatents, SampleConfig, keep_first_frame, sample
from uniavgen_core.shapes import AVShape
from uniavgen_core.text.speech_tensors import SpokenText, speech_tensors

from .findings import Findings
from .scale import Run

PORTRAIT = ASSETS / "portraits" / "toon_5_happy.png"
CAPTION = "A happy toon with red hair nods while talking to the camera."
TRANSCRIPT = "hello, how are you today"
CONFIGS = {
    "one step": SampleConfig(TOON_STEPS, guidance=TOON_GUIDANCE),
    "eight guided steps": SampleConfig(8, guidance=GuidanceConfig(2.0, 2.0, skip_layer=None)),
}
TABLE = "against the CPU"
DTYPES = (torch.float32, torch.bfloat16)


@dataclass(frozen=True)
class Inputs:
    """Conditions of a clip and of its null pass, kept parts, and noise, on one device."""

    conditions: Conditions
    null: Conditions
    kept: KeptLatents
    noise: Latents

    def on(self, device: str, dtype: torch.dtype) -> "Inputs":
        """The same on a device, with features of captions and references in a dtype; positions stay float32."""

        def moved(given: Conditions) -> Conditions:
            fields = {name: value.to(device) for name, value in vars(given).items() if torch.is_tensor(value)}
            return replace(given, **fields | {name: fields[name].to(dtype) for name in ("caption", "reference_image")})

        kept = replace(self.kept, **{name: value.to(device) for name, value in vars(self.kept).items()})
        return Inputs(moved(self.conditions), moved(self.null), kept, tuple(x.to(device) for x in self.noise))


@torch.no_grad()
def measure(findings: Findings, run: Run) -> None:
    """Sample with few and with many steps, in float32 without TF32 and in bfloat16."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    scale, codec = run.scale, load_codec()
    model = load_model(BUNDLED_MODEL, torch.float32).eval()
    inputs = inputs_of(model, codec, *scale.toon)
    for name, config in CONFIGS.items():
        want = sampled(model, inputs, config)
        pictures = codec.decode(want[0])
        for dtype in DTYPES:
            row = f"{name}, {str(dtype).removeprefix('torch.')}"
            with findings.attempt(row):
                there = load_model(BUNDLED_MODEL, dtype).to(scale.device).eval()
                video, audio = (x.cpu() for x in sampled(there, inputs.on(scale.device, dtype), config))
                findings.add(TABLE, row, differences((video, audio), want, codec.decode(video), pictures))


def differences(got: Latents, want: Latents, pictures: Tensor, wanted_pictures: Tensor) -> dict[str, Any]:
    """Relative L2 distances of latents, and the PSNR of decoded pictures in [-1, 1], dB; None for the same ones."""
    video, audio = (
        float((ours - theirs).double().norm() / theirs.double().norm()) for ours, theirs in zip(got, want, strict=True)
    )
    error = float((pictures - wanted_pictures).double().square().mean())
    psnr = round(10 * log10(4 / error), 1) if error else None
    return {"video error": f"{video:.1e}", "audio error": f"{audio:.1e}", "picture PSNR dB": psnr}


def inputs_of(model: JointModel, codec: Any, side: int, frames: int) -> Inputs:
    """Joint generation from a portrait, seeded, on the CPU."""
    shape, config = AVShape(side, side, frames), model.config
    picture = Image.open(PORTRAIT).convert("RGB").resize((side, side))
    first = codec.encode(codec_pixels(np.asarray(picture)[None]))
    generator = torch.Generator().manual_seed(0)
    noise = (
        torch.randn(shape.video, generator=generator),
        torch.randn(1, shape.mel_frames, config.mel_bins, generator=generator),
    )
    conditions, null = (
        Conditions(
            caption=hashed_features(caption, config.text.caption_dim, config.text.caption_length)[None],
            **speech_tensors([SpokenText(words)], config.text),
            reference_image=first,
        )
        for caption, words in ((CAPTION, TRANSCRIPT), ("", None))
    )
    return Inputs(conditions, null, keep_first_frame(first, *noise), noise)


def sampled(model: JointModel, inputs: Inputs, config: SampleConfig) -> Latents:
    """Video and audio latents of a clip."""
    return sample(model, inputs.conditions, inputs.null, inputs.kept, inputs.noise, config)
