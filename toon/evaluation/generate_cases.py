"""Generation of cases in batches; finished batches are stored, so that an interrupted run can continue.

Dimension key: B clips, F video frames, T latent frames, H and W latent rows and columns, S mel frames.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from uniavgen_core.atomic_write import atomic_write
from uniavgen_core.bundled.video_codec import VideoCodec
from uniavgen_core.diffusion.guidance import GuidancePlan
from uniavgen_core.diffusion.sampler import Latents
from uniavgen_core.media.audio.mel import log_mel
from uniavgen_core.media.video.frames import codec_pixels
from uniavgen_core.media.video.latent_masks import latent_shares, to_latent_mask
from uniavgen_core.media.video.region_joins import join_region
from uniavgen_core.model.face_mask import FaceSteering
from uniavgen_core.model.joint import Conditions, JointModel
from uniavgen_core.pipeline import BlendedDenoiser, Denoiser, KeptLatents, SampleConfig
from uniavgen_core.pipeline import generate as follow_the_flow
from uniavgen_core.text.speech_tensors import speech_tensors

from ..training.clip_shards import caption_tensor
from .cases import Case, voice_mel
from .played_sound import played_sounds

BATCH = 16


@dataclass(frozen=True)
class Made:
    """A generated clip as a user gets it, but for the compression of its pictures.

    Attributes:
        frames: (F, rows, columns, 3) uint8.
        waveform: Sound at 24 kHz, (N,).
        log_mel: Log-mel of that sound, natural logarithm, not normalised, (80, S).
    """

    frames: np.ndarray
    waveform: Tensor
    log_mel: Tensor

    @classmethod
    def of(cls, frames: np.ndarray, waveform: Tensor) -> "Made":
        """Clip of frames and a sound."""
        return cls(frames, waveform, log_mel(waveform))


def conditions_of(cases: Sequence[Case], reference: Tensor, model: JointModel, texts: bool) -> Conditions:
    """Conditions of a batch, or of its null pass."""
    voices = [voice_mel(case.spoken) for case in cases if case.spoken is not None]
    words = [case.words if texts else replace(case.words, text=None) for case in cases]
    masks = [latent_shares(case.mask).astype(np.float32) for case in cases if case.mask is not None]
    return Conditions(
        caption=caption_tensor([case.caption if texts else None for case in cases]),
        **speech_tensors(words, model.config.text, len(voices[0]) if voices else 0),
        reference_image=reference,
        reference_audio=torch.stack(voices) if voices else None,
        interaction=cases[0].interaction,
        steering=FaceSteering(torch.from_numpy(np.stack(masks))[:, None]) if masks else None,
    )


@torch.no_grad()
def set_up(
    model: JointModel, codec: VideoCodec, cases: Sequence[Case], plan: GuidancePlan, first: int = 0
) -> tuple[Denoiser | BlendedDenoiser, Latents]:
    """Denoiser and noise of one batch.

    Args:
        model: The network.
        codec: The video codec.
        cases: Cases of one task.
        plan: Guidance of the run.
        first: Number of the first case within its task: noise is drawn from a case's number.

    Returns:
        The denoiser, which blends for blended cases, and noise for video (B, 48, T, H, W) and audio (B, S, 80).
    """
    video = torch.cat([codec.encode(codec_pixels(case.frames)) for case in cases])
    reference = torch.cat([codec.encode(codec_pixels(case.reference[None])) for case in cases])
    audio = torch.stack([case.mel for case in cases])
    kept = KeptLatents(video, audio, _kept_video(cases, video.shape[2:]), torch.stack([c.sound_kept for c in cases]))
    generators = [torch.Generator().manual_seed(first + i) for i in range(len(cases))]
    noise = tuple(torch.stack([torch.randn(x.shape[1:], generator=g) for g in generators]) for x in (video, audio))
    both = [conditions_of(cases, reference, model, texts) for texts in (True, False)]
    denoiser = Denoiser(model, *both, kept, plan)
    return BlendedDenoiser(denoiser, noise[0]) if cases[0].blended else denoiser, noise


def _kept_video(cases: Sequence[Case], size: Sequence[int]) -> Tensor:
    """Mask of the kept latents (B, T), or of the kept latent pixels (B, T, H, W) around regions."""
    if cases[0].region is None:
        return torch.arange(size[0]) < torch.tensor([case.latents_kept for case in cases])[:, None]
    return torch.stack([to_latent_mask(torch.from_numpy(case.region), tuple(size)) == 0 for case in cases])


def generate(
    model: JointModel, codec: VideoCodec, cases: Sequence[Case], config: SampleConfig, first: int = 0
) -> tuple[Tensor, Tensor]:
    """Generate one batch with the release's noise levels; see ``set_up``.

    Returns video latents (B, 48, T, H, W) and normalised mels (B, S, 80).
    """
    plan = GuidancePlan.of(config.guidance, config.sigmas)
    denoiser, noise = set_up(model, codec, cases, plan, first)
    return follow_the_flow(denoiser, noise, config.sigmas)


@torch.no_grad()
def decode(codec: VideoCodec, video: Tensor, audio: Tensor) -> list[Made]:
    """Decode latents (B, 48, T, H, W) and normalised mels (B, S, 80), clip by clip, to what is seen and heard."""
    pictures = [((codec.decode(latent[None])[0] + 1) * 127.5).round().clamp(0, 255).byte() for latent in video]
    sounds = played_sounds(audio)
    return [Made.of(seen.permute(1, 2, 3, 0).numpy(), sound) for seen, sound in zip(pictures, sounds, strict=True)]


@torch.no_grad()
def coded(codec: VideoCodec, case: Case) -> Made:
    """Encode and decode a true clip, the upper bound for a generator with these codecs of picture and sound."""
    return decode(codec, codec.encode(codec_pixels(case.frames)), case.mel[None])[0]


@dataclass(frozen=True)
class Store:
    """Finished batches on disk, under a hash of all that decides what is generated: weights and settings."""

    folder: Path
    key: str

    @classmethod
    def of(cls, folder: Path, weights: Sequence[Path], config: SampleConfig, seed: int) -> "Store":
        """Make the store for given weights and settings."""
        hashes = [sha256(path.read_bytes()).hexdigest() for path in weights]
        text = json.dumps([hashes, asdict(config), seed], default=str)
        return cls(folder, sha256(text.encode()).hexdigest()[:12])

    def path(self, task: str, first: int, count: int) -> Path:
        """File of one batch."""
        name = "".join(letter if letter.isalnum() else "_" for letter in task)
        return self.folder / self.key / f"{name}-{first:04d}-{count}.safetensors"


def generate_all(
    parts: tuple[JointModel, VideoCodec],
    cases: dict[str, list[Case]],
    config: SampleConfig,
    store: Store,
    on_batch: Callable[[str, int], None] = lambda *_: None,
) -> dict[str, list[Made]]:
    """Generate all cases, batch by batch; batches in the store are read from it.

    Args:
        parts: Network and codec.
        cases: By task.
        config: How to sample.
        store: Where batches are kept.
        on_batch: Called after each batch with the task and the number of its clips.

    Returns:
        Generated clips by task, in the order of the cases.
    """
    model, codec = parts
    made: dict[str, list[Made]] = {}
    for task, wanted in cases.items():
        made[task] = []
        for first in range(0, len(wanted), BATCH):
            part = wanted[first : first + BATCH]
            path = store.path(task, first, len(part))
            if not path.exists():
                _keep(path, generate(model, codec, part, config, first))
            latents = load_file(path)
            made[task] += map(with_kept, decode(codec, latents["video"], latents["audio"]), part)
            on_batch(task, len(part))
    return made


def with_kept(clip: Made, case: Case) -> Made:
    """A clip with the user's own picture around a region, and the user's own sound where it is kept."""
    if case.region is not None:
        own, made = (torch.from_numpy(frames) / 255 for frames in (case.frames, clip.frames))
        joined = join_region(own, made, torch.from_numpy(case.region))
        clip = replace(clip, frames=(joined * 255).round().byte().numpy())
    kept = torch.nn.functional.interpolate(case.sound_kept[None, None].float(), len(clip.waveform))[0, 0].bool()
    return Made.of(clip.frames, torch.where(kept, case.waveform[: len(kept)], clip.waveform)) if kept.any() else clip


def _keep(path: Path, latents: tuple[Tensor, Tensor]) -> None:
    """Write a batch atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as partial:
        save_file({name: x.contiguous() for name, x in zip(("video", "audio"), latents, strict=True)}, partial)
