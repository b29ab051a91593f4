"""Trains the small video codec so that mouths keep moving.

A plain loss averages the motion inside the four frames of a latent: sharp pictures, dead mouths. So pixels that move
weigh more, the residual around the mean of the four frames has a loss of its own, and chunks in which the mouth moves
are drawn more often. Latents are disturbed before they are decoded, so that imperfect samples decode well. Where a
latent leaves open on which pixel an edge lies, the picture nearest to all that may be there is blurred; a loss on the
strength of edges in small windows, wherever in them they lie, has them drawn sharply.
Dimension key: C clips, F video frames, T latent frames, N chunks in a batch, P frames in a chunk (4).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor
from torch.utils.data import Dataset

from uniavgen_core.bundled.video_codec import VideoCodec
from uniavgen_core.shapes import LATENT_CHANNELS, SPATIAL_FACTOR, TEMPORAL_FACTOR
from uniavgen_core.training.batch_part import Objective, Part

from ..clips.clip import make_clip
from ..clips.world import World

_WINDOW = 8
_LEAST_ENERGY = 1e-4
"""Keeps the gradient of a root finite where the picture is flat."""


@dataclass(frozen=True)
class CodecTraining:
    """Settings of the codec's training.

    Attributes:
        clips: Clips held in memory to draw chunks from.
        crop: Side of the square cut from each chunk, pixels.
        learning_rate: Peak learning rate of AdamW.
        mouth_share: Share of crops centred near the mouth; the others lie anywhere.
        still_share: How often a chunk without mouth movement is drawn, against one in which the mouth opens fully.
        latent_noise: Largest standard deviation of the noise added to normalised latents.
        motion_weight: Extra weight of a pixel per unit of its movement inside the chunk.
        residual_weight: Weight of the loss on the residual around the chunk's mean.
        edge_weight: Weight of the loss on differences between neighbouring pixels.
        detail_weight: Weight of the loss on the strength of edges in small windows.
        statistics_rate: Share by which each batch moves the latent's running mean and deviation.
        decoder_only: Leave the encoder and the statistics, and so the latents, as they are.
        anchor: Weight of how far latents move from those of the weights training began with, squared: networks that
            know them follow a small move quickly. Statistics stay as they are. 0 lets latents go where they will.
    """

    clips: int = 480
    crop: int = 64
    learning_rate: float = 2e-3
    mouth_share: float = 0.6
    still_share: float = 0.06
    latent_noise: float = 0.15
    motion_weight: float = 12.0
    residual_weight: float = 2.0
    edge_weight: float = 0.4
    detail_weight: float = 0.0
    statistics_rate: float = 0.02
    decoder_only: bool = False
    anchor: float = 0.0


@dataclass(frozen=True)
class CodecClips:
    """Pictures to train the codec on.

    Attributes:
        frames: (C, F, H, W, 3) uint8.
        mouth_open: Mouth opening in [0, 1], (C, F).
        mouth_center: Middle of the mouth at each frame, pixels (x, y), (C, F, 2).
    """

    frames: np.ndarray
    mouth_open: np.ndarray
    mouth_center: np.ndarray


def codec_clips(count: int, first_seed: int, *worlds: World) -> CodecClips:
    """Pictures of consecutive seeds, of one world or of several in turn."""
    clips = [make_clip(first_seed + number, world=worlds[number % len(worlds)]) for number in range(count)]
    return CodecClips(*(np.stack([getattr(clip, field.name) for clip in clips]) for field in fields(CodecClips)))


def chunk_weights(mouth_open: np.ndarray, still_share: float) -> np.ndarray:
    """Chance of drawing each chunk: more where the mouth moves.

    Args:
        mouth_open: (C, F), F = 4n + 1.
        still_share: Weight of a chunk without movement, the full range being 1.

    Returns:
        Probabilities over (clip, chunk), flattened, (C*T,).
    """
    grouped = mouth_open[:, 1:].reshape(len(mouth_open), -1, TEMPORAL_FACTOR)
    weights = np.concatenate([np.zeros((len(mouth_open), 1)), np.ptp(grouped, axis=2)], 1) + still_share
    return (weights / weights.sum()).ravel()


def frames_of(latent_frame: int) -> list[int]:
    """Numbers of the four video frames of a latent frame; the first latent frame has the first video frame alone."""
    last = TEMPORAL_FACTOR * latent_frame
    return [max(0, frame) for frame in range(last - TEMPORAL_FACTOR + 1, last + 1)]


def crop_chunks(clips: CodecClips, config: CodecTraining, own: Sequence[np.random.Generator]) -> Tensor:
    """Cut a square from a chunk for each example, many of them at moving mouths.

    Args:
        clips: Pictures to draw from.
        config: Size and shares.
        own: Source of each example's choice.

    Returns:
        Crops, (N, P, 3, crop, crop) in [-1, 1].
    """
    count, video_frames, height, width, _ = clips.frames.shape
    latent_frames = (video_frames - 1) // TEMPORAL_FACTOR + 1
    chances = np.cumsum(chunk_weights(clips.mouth_open, config.still_share))
    limits = np.array([height - config.crop, width - config.crop])
    chunks = []
    for random in own:
        drawn = min(int(np.searchsorted(chances, random.random(), "right")), count * latent_frames - 1)
        clip, latent_frame = divmod(drawn, latent_frames)
        picked = frames_of(latent_frame)
        corner = random.integers(0, limits + 1)
        if random.random() < config.mouth_share:
            jitter = random.integers(-config.crop // 3, config.crop // 3 + 1, 2)
            corner = clips.mouth_center[clip, picked[-1], ::-1] - config.crop / 2 + jitter
        top, left = np.clip(corner, 0, limits).astype(int)
        chunks.append(clips.frames[clip, picked, top : top + config.crop, left : left + config.crop])
    return rearrange(torch.from_numpy(np.stack(chunks)), "n p h w c -> n p c h w").float() / 127.5 - 1


def codec_loss(decoded: Tensor, chunks: Tensor, config: CodecTraining) -> Tensor:
    """Error of decoded chunks, weighted by how much each pixel moves.

    Args:
        decoded: (N, P, 3, H, W), not clamped.
        chunks: The true chunks, same shape, in [-1, 1].
        config: Weights.

    Returns:
        Scalar.
    """
    error = decoded - chunks
    movement = (chunks - chunks.mean(1, keepdim=True)).abs().amax((1, 2))
    near = F.max_pool2d(movement[:, None], 5, 1, 2)[:, None]
    weight = 1 + config.motion_weight * near
    weight = weight / weight.mean()
    residual = error - error.mean(1, keepdim=True)
    edges = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
    plain = (weight * (error.abs() + 3 * error**2)).mean()
    moving = (weight * (residual.abs() + 3 * residual**2)).mean()
    loss = plain + config.residual_weight * moving + config.edge_weight * edges
    return loss + config.detail_weight * detail_error(decoded, chunks) if config.detail_weight else loss


def detail_error(decoded: Tensor, chunks: Tensor) -> Tensor:
    """Mean difference of the strength of edges in windows of 8 x 8 pixels, whichever pixels of them the edges lie on.

    Args:
        decoded: (N, P, 3, H, W), not clamped; sides at least 10.
        chunks: The true chunks, same shape.

    Returns:
        Scalar, in the units of the root mean square of the pictures' Laplacian.
    """
    return (_edge_strength(decoded) - _edge_strength(chunks)).abs().mean()


def _edge_strength(chunks: Tensor) -> Tensor:
    """Root mean square of the Laplacian of all colours in overlapping windows, (N P, 1, rows, columns)."""
    frames = chunks.flatten(0, 1)
    inside = frames[..., 1:-1, 1:-1]
    beside = frames[..., :-2, 1:-1] + frames[..., 2:, 1:-1] + frames[..., 1:-1, :-2] + frames[..., 1:-1, 2:]
    energy = (beside - 4 * inside).square().mean(1, keepdim=True)
    return (F.avg_pool2d(energy, _WINDOW, _WINDOW // 2) + _LEAST_ENERGY).sqrt()


@dataclass(frozen=True)
class CodecBatch:
    """Crops and the noise of their latents.

    Attributes:
        chunks: (N, P, 3, H, W) in [-1, 1].
        noise: Noise of random strength, (N, 48, H / 16, W / 16).
    """

    chunks: Tensor
    noise: Tensor


def latent_noise(chunks: Tensor, own: Sequence[np.random.Generator]) -> Tensor:
    """Noise for the latents of chunks, each example's of a strength in [0, 1) of its own.

    Raises:
        ValueError: If a side is not a multiple of 16.
    """
    rows, columns = chunks.shape[-2:]
    if rows % SPATIAL_FACTOR or columns % SPATIAL_FACTOR:
        raise ValueError(f"Crops of shape {tuple(chunks.shape)} do not divide into cells of {SPATIAL_FACTOR} pixels.")
    shape = (LATENT_CHANNELS, rows // SPATIAL_FACTOR, columns // SPATIAL_FACTOR)
    noise = [np.float32(random.random()) * random.standard_normal(shape, dtype=np.float32) for random in own]
    return torch.from_numpy(np.stack(noise))


def codec_loss_of(
    codec: VideoCodec, batch: CodecBatch, config: CodecTraining, earlier: VideoCodec | None = None
) -> Tensor:
    """Loss of one batch; also moves the codec's latent statistics towards the batch's.

    Args:
        codec: The codec in training.
        batch: Crops and noise, on the codec's device.
        config: Weights.
        earlier: The codec as it was, near whose latents those of ``codec`` are held; statistics then stay.

    Returns:
        Scalar loss.
    """
    chunks = batch.chunks
    if config.decoder_only:
        with torch.no_grad():
            latent = fixed_latent(codec, chunks)
    else:
        latent = _tracked_latent(codec, chunks, config) if earlier is None else fixed_latent(codec, chunks)
    disturbed = latent + config.latent_noise * batch.noise
    loss = codec_loss(codec.decoder(disturbed).float(), chunks, config)
    if earlier is None:
        return loss
    with torch.no_grad():
        place = fixed_latent(earlier, chunks)
    return loss + config.anchor * F.mse_loss(latent, place)


def _tracked_latent(codec: VideoCodec, chunks: Tensor, config: CodecTraining) -> Tensor:
    """Latent normalised by the batch's own statistics, towards which the codec's are moved."""
    raw = codec.encoder(chunks).float()
    mean, std = raw.mean((0, 2, 3)), raw.std((0, 2, 3)).clamp_min(1e-4)
    with torch.no_grad():
        codec.latent_mean.lerp_(mean, config.statistics_rate)
        codec.latent_std.lerp_(std, config.statistics_rate)
    return (raw - mean[:, None, None]) / std[:, None, None]


def fixed_latent(codec: VideoCodec, chunks: Tensor) -> Tensor:
    """Latent as ``VideoCodec.encode`` gives it."""
    return (codec.encoder(chunks).float() - codec.latent_mean[:, None, None]) / codec.latent_std[:, None, None]


@dataclass(frozen=True)
class CodecBatches(Dataset[CodecBatch]):
    """Crops by ``Part``. Latent statistics are those of a part, so its batches are best left whole."""

    clips: CodecClips
    config: CodecTraining
    seed: int

    def __getitem__(self, part: Part) -> CodecBatch:
        """Cut the crops of one part of a step, and draw the noise of their latents."""
        own = part.own(self.seed)
        chunks = crop_chunks(self.clips, self.config, own)
        return CodecBatch(chunks, latent_noise(chunks, own))


def codec_objective(
    clips: CodecClips, config: CodecTraining, seed: int, earlier: VideoCodec | None = None
) -> Objective:
    """Objective of the codec's training; see ``codec_loss_of``."""

    def losses(model: VideoCodec, batch: CodecBatch, progress: float) -> Mapping[str, Tensor]:
        del progress
        return {"loss": codec_loss_of(model, batch, config, earlier)}

    return Objective(CodecBatches(clips, config, seed), losses)
