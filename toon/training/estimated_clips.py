"""Clips as the network estimates them, beside the true ones, for the decoder to be trained on.

A decoder that knows the latents of true pictures alone tears eyes and mouths where latents are a little off. The
network's estimates of seeded toons, in one pass from noised latents, are off as its samples are.
Dimension key: C clips, F video frames, T latent frames, H and W picture height and width, N chunks, P frames in a chunk
(4).
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from uniavgen_core.bundled.video_codec import VideoCodec
from uniavgen_core.config import GuidanceConfig
from uniavgen_core.diffusion.flow import mix
from uniavgen_core.diffusion.guidance import GuidancePlan
from uniavgen_core.diffusion.schedule import release_sigmas
from uniavgen_core.media.faces.face_detection import FaceDetector
from uniavgen_core.model.joint import JointModel
from uniavgen_core.tasks import AUDIO_DRIVEN, JOINT, RELIP, TASKS
from uniavgen_core.training.batch_part import Objective, Part

from ..clips.scene import ToonScene
from ..clips.world import World
from ..evaluation.cases import PAIR, Case, case_of, every_lone_pair, every_scene, paired, speaks_at_once
from ..evaluation.generate_cases import set_up
from ..evaluation.relip_cases import RELIP_BLENDED, RELIP_CASES, relip_case
from .codec_training import CodecTraining, codec_loss, frames_of

SIDE = 128
"""Height of all pictures, and width of one toon's, pixels."""
TURNS = (JOINT.name, RELIP_BLENDED, AUDIO_DRIVEN.name, PAIR, JOINT.name, RELIP.name)
"""Kinds of the batches, in turn. New lips get the words that the clip has, so that its pictures are the truth."""
EYE_WEIGHT, MOUTH_WEIGHT = 4, 6
"""Weights of pixels in eyes and mouths, 1 elsewhere: of a clip with new lips, the mouth is all that is generated."""
OPEN_LIDS = 0.15
"""Closure of the lids up to which eyes count as open."""
ESTIMATED, LATENT_NOISE = 0.65, 0.2
"""Share of chunks with estimated latents, and the largest deviation of the noise in others."""
BATCH = 16
"""Clips of one size that the network estimates at once."""
_WITHOUT_GUIDANCE = GuidanceConfig(video_scale=1.0, audio_scale=1.0)


@dataclass(frozen=True)
class EstimatedClips:
    """True clips, and their latents in two forms.

    Attributes:
        estimated: Latents as the network estimates them, (C, 48, T, H / 16, W / 16) float16.
        coded: Latents of the true pictures, same shape.
        frames: True pictures, (C, F, H, W, 3) uint8.
        weights: Weight of each pixel: ``EYE_WEIGHT`` in eyes, ``MOUTH_WEIGHT`` in mouths, 0 in eyes of which the
            estimate does not know whether they blink, else 1; (C, F, H, W) uint8.
    """

    estimated: Tensor
    coded: Tensor
    frames: np.ndarray
    weights: np.ndarray


@dataclass(frozen=True)
class EstimatedBatch:
    """Latents to decode, and what they should become.

    Attributes:
        latents: (N, 48, H / 16, W / 16).
        chunks: True frames, (N, P, 3, H, W) in [-1, 1].
        weights: Weight of each pixel, (N, P, 1, H, W).
    """

    latents: Tensor
    chunks: Tensor
    weights: Tensor


def draw_level(world: World, rng: np.random.Generator) -> float:
    """Noise level of a batch, 0 to 1: 1, as in the bundled model's one step, or one at which chance has decided."""
    if world.lively:
        return float(rng.uniform(0.3, 0.8))
    return 1.0 if rng.random() < 0.7 else float(rng.uniform(0.3, 0.9))


def estimated_clips(model: JointModel, codec: VideoCodec, count: int, first_seed: int, world: World) -> EstimatedClips:
    """Draw clips of seeds from ``first_seed`` on, noise them and have the network estimate them.

    Args:
        model: The network.
        codec: Its codec.
        count: Number of clips; the two halves of a pair are two.
        first_seed: First seed.
        world: World of the clips.

    Returns:
        ``count`` clips of 33 frames at 128x128.
    """
    rng, parts, detector = np.random.default_rng(first_seed), [], FaceDetector()
    toons = filter(speaks_at_once, every_scene("train", first_seed, world))
    pairs = every_lone_pair("train", first_seed, world)
    while sum(len(part.frames) for part in parts) < count:
        kind = TURNS[len(parts) % len(TURNS)]
        if kind == PAIR:
            drawn = list(itertools.islice(pairs, BATCH // 2))
            cases = [paired(pair, world) for pair in drawn]
            masks = [tuple(mask(0) | mask(1) for mask in (pair.eye_mask, pair.mouth_mask)) for pair in drawn]
        else:
            scenes = list(itertools.islice(toons, BATCH))
            cases = [_case(kind, scene, world, detector) for scene in scenes]
            masks = [(scene.clip.eye_mask, scene.clip.mouth_mask) for scene in scenes]
        parts.append(_estimated(model, codec, cases, masks, draw_level(world, rng), len(parts)))
    tensors = (torch.cat([getattr(part, name) for part in parts])[:count] for name in ("estimated", "coded"))
    arrays = (np.concatenate([getattr(part, name) for part in parts])[:count] for name in ("frames", "weights"))
    return EstimatedClips(*tensors, *arrays)


def _case(kind: str, scene: ToonScene, world: World, detector: FaceDetector) -> Case:
    """Case of a scene for one of ``TURNS``, other than pairs."""
    if kind in RELIP_CASES:
        return relip_case(kind, scene, scene.clip.transcript, world, detector)
    return case_of(scene, TASKS[kind], world)


@torch.no_grad()
def _estimated(
    model: JointModel, codec: VideoCodec, cases: list[Case], masks: list[tuple[np.ndarray, np.ndarray]],
    level: float, number: int,
) -> EstimatedClips:  # fmt: skip
    """One batch of clips of one size, estimated in one pass from a noise level; pairs are cut in two."""
    plan = GuidancePlan.of(_WITHOUT_GUIDANCE, release_sigmas(1))
    denoiser, noise = set_up(model, codec, cases, plan, number * BATCH)
    clean = (denoiser.kept.video, denoiser.kept.audio)
    video, _ = denoiser.kept.write_into(denoiser(tuple(map(mix, clean, noise, (level, level))), level))
    frames = np.stack([case.frames for case in cases])
    eyes, mouths = (np.stack(kind) > 0 for kind in zip(*masks, strict=True))
    weights = np.where(mouths, MOUTH_WEIGHT, np.where(eyes, EYE_WEIGHT, 1)).astype(np.uint8)
    halves = frames.shape[3] // SIDE
    if level == 1 and cases[0].region is None:
        blinks = np.stack([case.lids for case in cases]) > OPEN_LIDS
        unknown = blinks[:, :, None, None] if halves == 1 else True  # A case knows one toon's lids.
        weights[eyes & unknown] = 0
    return EstimatedClips(
        torch.cat(video.half().chunk(halves, -1)),
        torch.cat(clean[0].half().chunk(halves, -1)),
        np.concatenate(np.split(frames, halves, 3)),
        np.concatenate(np.split(weights, halves, 3)),
    )


@dataclass(frozen=True)
class EstimatedBatches(Dataset[EstimatedBatch]):
    """Chunks of estimated clips by ``Part``, some of them with the latents of the true pictures."""

    clips: EstimatedClips
    seed: int

    def __getitem__(self, part: Part) -> EstimatedBatch:
        """Draw the chunks of one part of a step."""
        latents, chunks, weights = zip(*(self._chunk(random) for random in part.own(self.seed)), strict=True)
        frames = torch.from_numpy(np.stack(chunks)).permute(0, 1, 4, 2, 3)
        return EstimatedBatch(
            torch.stack(latents), frames.float() / 127.5 - 1, torch.from_numpy(np.stack(weights))[:, :, None].float()
        )

    def _chunk(self, random: np.random.Generator) -> tuple[Tensor, np.ndarray, np.ndarray]:
        """Latent, frames and weights of one chunk."""
        clips = self.clips
        clip, time = int(random.integers(len(clips.frames))), int(random.integers(clips.coded.shape[2]))
        frames = frames_of(time)
        weights = clips.weights[clip, frames]
        if random.random() < ESTIMATED:
            return clips.estimated[clip, :, time].float(), clips.frames[clip, frames], weights
        latent = clips.coded[clip, :, time].float()
        strength = np.float32(LATENT_NOISE * random.random())
        noise = torch.from_numpy(strength * random.standard_normal(latent.shape, dtype=np.float32))
        return latent + noise, clips.frames[clip, frames], np.where(weights == 0, EYE_WEIGHT, weights)


def estimate_loss(decoded: Tensor, batch: EstimatedBatch, config: CodecTraining) -> Tensor:
    """Error of decoded estimates: the codec's own loss, and once more with each pixel's weight.

    Args:
        decoded: (N, P, 3, H, W), not clamped.
        batch: What they should be.
        config: Weights of the codec's loss.

    Returns:
        Scalar; pixels of weight 0 count in neither part.
    """
    drawn = torch.where(batch.weights > 0, decoded, batch.chunks)
    error = drawn - batch.chunks
    weight = batch.weights / batch.weights.mean()
    return codec_loss(drawn, batch.chunks, config) + (weight * (error.abs() + 3 * error**2)).mean()


def estimate_objective(clips: EstimatedClips, config: CodecTraining, seed: int) -> Objective:
    """Objective of the decoder's training on estimates; see ``estimate_loss``."""

    def losses(codec: VideoCodec, batch: EstimatedBatch, progress: float) -> Mapping[str, Tensor]:
        del progress
        return {"loss": estimate_loss(codec.decoder(batch.latents).float(), batch, config)}

    return Objective(EstimatedBatches(clips, seed), losses)
