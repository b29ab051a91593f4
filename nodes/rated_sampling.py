"""Sampling of takes, and their decoding for the ratings: shared by the nodes that choose between takes.

Dimension key: F video frames, H and W pixel rows and columns.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import comfy.samplers
import numpy as np
import torch
from comfy_api.latest import io
from torch import Tensor

from ..uniavgen_core.media.audio.sound import Sound
from ..uniavgen_core.shapes import SAMPLE_RATE
from .host.conditioning.pass_settings import pass_settings_of
from .host.media.vae_sockets import audio_vae_input, require_audio_vae, require_video_vae, video_vae_input
from .host.media.vaes import AudioVAE, TiledVideoVAE
from .host.notices import show_progress
from .host.sampling.guided_sampling import make_guider
from .host.sampling.joint_latent import split
from .host.sampling.live_preview import PICTURES_ONLY, PreviewSettings
from .host.sampling.run_sampler import run_sampler
from .sampling_widgets import SamplerSettings, choose_guidance, choose_sampler, find_preset
from .sockets import conditioning_inputs, model_input


def rated_inputs(latent_tooltip: str = "The clip, from 'UniAVGen Task' or 'UniAVGen Empty Latent'.") -> list[io.Input]:
    """Sockets of a node that samples and rates takes."""
    return [
        model_input(),
        *conditioning_inputs(),
        io.Latent.Input("latent", tooltip=latent_tooltip),
        video_vae_input(),
        audio_vae_input(),
    ]


@dataclass(frozen=True)
class VAEs:
    """Both VAEs of a clip.

    Raises:
        ValueError: If one of them is not the pack's; names the right loader.
    """

    video: TiledVideoVAE
    audio: AudioVAE

    def __post_init__(self) -> None:
        require_video_vae(self.video)
        require_audio_vae(self.audio)

    def decode(self, latent: dict) -> tuple[Tensor, Sound]:
        """Decode the first clip of a LATENT: pictures (F, H, W, 3) in [0, 1], and its sound."""
        video, audio = split(latent)
        return self.video.decode(video[:1])[0], Sound(self.audio.synthesize(audio[:1])[0].cpu(), SAMPLE_RATE)


@dataclass(frozen=True)
class TakeSampler:
    """Sampler of takes that differ in their seed.

    Attributes:
        guider: GUIDER.
        settings: Sampler and noise levels.
    """

    guider: comfy.samplers.CFGGuider
    settings: SamplerSettings

    def sample(self, latent: dict, seed: int, number: int, takes: int) -> dict:
        """Sample a take.

        Args:
            latent: Joint LATENT.
            seed: Seed of the noise.
            number: Number of the take, from 1.
            takes: Number of takes.

        Returns:
            Sampled LATENT.
        """
        show_progress(f"Take {number} of {takes}")
        return self._run(self.settings, latent, seed, PreviewSettings(0, number, takes))

    def sample_again(self, latent: dict, seed: int, steps: int, shift: float) -> dict:
        """Sample a take from the same noise with other steps.

        Args:
            latent: Joint LATENT.
            seed: Seed of the take.
            steps: Sampling steps.
            shift: Shift of the noise levels.

        Returns:
            Sampled LATENT.
        """
        return self._run(choose_sampler(None, steps, shift, "euler"), latent, seed, PICTURES_ONLY)

    def _run(self, settings: SamplerSettings, latent: dict, seed: int, previews: PreviewSettings) -> dict:
        sampler = comfy.samplers.sampler_object(self.settings.sampler_name)
        return run_sampler(self.guider, sampler, settings.sigmas, latent, seed, previews)


def make_take_sampler(
    texts: tuple[Any, list, list], preset: str, schedule: tuple[int, float], guidance: Mapping[str, Any]
) -> TakeSampler:
    """Make the sampler of a node's widgets.

    Args:
        texts: MODEL, and its positive and negative CONDITIONING.
        preset: Name of the preset.
        schedule: Steps and shift.
        guidance: Widgets of ``guidance_inputs``.

    Raises:
        ValueError: If the model is not UniAVGen's.
    """
    chosen = find_preset(preset, texts[0])
    guider = make_guider(*texts, choose_guidance(chosen, **guidance))
    return TakeSampler(guider, choose_sampler(chosen, *schedule, "euler"))


def picture_bytes(frames: Tensor) -> np.ndarray:
    """Pictures (F, H, W, 3) in [0, 1] as uint8."""
    return (frames[..., :3] * 255).round().clamp(0, 255).to(torch.uint8).cpu().numpy()


def transcript_of(positive: list) -> str:
    """Words of a clip by its CONDITIONING, those of its kept sound first; empty if several speak, or none."""
    speeches = pass_settings_of(positive[0][1]).speeches
    return " ".join(filter(None, (speeches[0].kept_transcript, speeches[0].text))) if len(speeches) == 1 else ""
