"""Seeded toons as training arrays on disk, and batches of them.

Every shard is made from its seeds alone, so a broken run goes on with the shards that are missing.
Dimension key: C clips in a shard, B batch, T latent frames, H and W latent rows and columns, S mel frames, K
characters.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from uniavgen_core.atomic_write import atomic_write
from uniavgen_core.bundled.bundled_files import load_codec
from uniavgen_core.bundled.hashed_captions import hashed_features
from uniavgen_core.media.audio.mel import normalized_mel
from uniavgen_core.media.video.frames import codec_pixels
from uniavgen_core.media.video.latent_masks import latent_shares
from uniavgen_core.text.speech_tensors import SpokenText, speech_id_tensors
from uniavgen_core.text.tokenize import pad_speech_ids, speech_ids

from ..clips.clip import ToonClip, make_clip
from ..clips.speech import make_speech
from .codec_training import CodecClips

CAPTION_DIM = 64
CAPTION_LENGTH = 32


@dataclass(frozen=True)
class ShardPlan:
    """Clips to make, and the folder of their shards.

    Attributes:
        folder: Where the shards lie.
        count: Number of clips.
        split: Which sentences they draw from.
        video_frames: Length of a clip.
        first_seed: Seed of the first clip; the others follow.
        shard: Clips in one file.
    """

    folder: Path
    count: int
    split: str = "train"
    video_frames: int = 33
    first_seed: int = 0
    shard: int = 250

    def shards(self) -> list[tuple[Path, range]]:
        """Path and seeds of every shard."""
        starts = range(self.first_seed, self.first_seed + self.count, self.shard)
        end = self.first_seed + self.count
        return [(self.folder / f"{start:07d}.npz", range(start, min(start + self.shard, end))) for start in starts]


def mel_of(waveform: np.ndarray) -> np.ndarray:
    """Normalised mel of samples at 24 kHz, (N,): float16, (S, 80)."""
    return normalized_mel(torch.from_numpy(waveform)).numpy().astype(np.float16)


def save_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write a shard in one move."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as partial_path, partial_path.open("wb") as file:  # a name would get the ending .npz
        np.savez(file, **arrays)


def save_rows(path: Path, rows: Sequence[Mapping[str, np.ndarray]]) -> None:
    """Write a shard of rows that have the same arrays."""
    save_arrays(path, {name: np.stack([row[name] for row in rows]) for name in rows[0]})


def write_speech_shard(plan: ShardPlan, shard: tuple[Path, range]) -> None:
    """Make one shard of sound and transcript only."""
    path, seeds = shard
    speeches = [make_speech(seed, plan.video_frames, plan.split) for seed in seeds]
    save_arrays(
        path,
        {
            "mel": np.stack([mel_of(speech.waveform) for speech in speeches]),
            "transcript": np.array([speech.transcript for speech in speeches]),
        },
    )


@torch.no_grad()
def write_clip_shard(plan: ShardPlan, codec_path: Path, shard: tuple[Path, range]) -> None:
    """Make one shard of latents, sound, masks and texts."""
    path, seeds = shard
    codec = load_codec(codec_path)
    rows: list[dict[str, np.ndarray]] = []
    for seed in seeds:
        clip: ToonClip = make_clip(seed, plan.video_frames, split=plan.split)
        rows.append(
            {
                "video": codec.encode(codec_pixels(clip.frames))[0].numpy().astype(np.float16),
                "mel": mel_of(clip.waveform),
                "face": latent_shares(clip.face_mask),
                "mouth": latent_shares(clip.mouth_mask),
                "transcript": np.array(clip.transcript),
                "caption": np.array(clip.caption),
            }
        )
    save_rows(path, rows)


def write_shards(plan: ShardPlan, codec_path: Path | None = None, workers: int = 1) -> None:
    """Make the shards that are missing: with a codec whole clips, without one sound and transcripts only."""
    write = partial(write_speech_shard, plan) if codec_path is None else partial(write_clip_shard, plan, codec_path)
    write_missing(plan, write, workers)


def write_missing(plan: ShardPlan, write: Callable[[tuple[Path, range]], None], workers: int) -> None:
    """Make the shards of a plan that are missing.

    Args:
        plan: Folder and seeds.
        write: Makes one shard from its path and seeds; a module's function, so that processes can have it.
        workers: Processes that share the work.
    """
    missing = [shard for shard in plan.shards() if not shard[0].exists()]
    if workers == 1:
        for shard in missing:
            write(shard)
        return
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        list(pool.map(write, missing))


def codec_clips(count: int, first_seed: int) -> CodecClips:
    """Pictures to train the codec on, from consecutive seeds."""
    clips = [make_clip(seed) for seed in range(first_seed, first_seed + count)]
    return CodecClips(
        frames=np.stack([clip.frames for clip in clips]),
        mouth_open=np.stack([clip.mouth_open for clip in clips]),
        mouth_center=np.stack([clip.mouth_center for clip in clips]),
    )


@dataclass(frozen=True)
class ClipBatch:
    """One batch of clean examples.

    Attributes:
        audio: Normalised mel, (B, S, 80).
        speech_ids: Characters, -1 for filler, long, (B, K).
        speech_lengths: Characters the network sees, long, (B,).
        video: Clean latents, (B, 48, T, H, W); None for sound alone, as are the following.
        caption: Caption features, (B, L, 64).
        face: Share of face in each latent cell, (B, T, H, W).
        mouth: Share of mouth, (B, T, H, W).
    """

    audio: Tensor
    speech_ids: Tensor
    speech_lengths: Tensor
    video: Tensor | None = None
    caption: Tensor | None = None
    face: Tensor | None = None
    mouth: Tensor | None = None


def caption_tensor(captions: Sequence[str | None]) -> Tensor:
    """Caption features filled with zeros to one length, (B, 32, 64); None is the empty caption."""
    features = [hashed_features(caption or "", dim=CAPTION_DIM)[:CAPTION_LENGTH] for caption in captions]
    return torch.stack([F.pad(rows, (0, 0, 0, CAPTION_LENGTH - len(rows))) for rows in features])


class Clips:
    """All shards of a folder in memory."""

    def __init__(self, plan: ShardPlan) -> None:
        shards = [np.load(path) for path, _ in plan.shards()]
        self.arrays = {name: np.concatenate([shard[name] for shard in shards]) for name in shards[0].files}
        texts = set(self.arrays["transcript"].ravel().tolist())
        self.longest = max(len(pad_speech_ids(speech_ids(text))) for text in texts)

    def __len__(self) -> int:
        return len(self.arrays["mel"])

    def batch(self, chosen: np.ndarray, textless: np.ndarray, captionless: np.ndarray) -> ClipBatch:
        """Assemble a batch.

        Args:
            chosen: Indices of the clips, (B,).
            textless: Whose speech text is replaced by the null text, bool, (B,).
            captionless: Whose caption is replaced by the empty one, bool, (B,).

        Returns:
            The batch, float32.
        """
        texts = self._texts("transcript", chosen, textless)
        audio = self._tensor("mel", chosen)
        if "video" not in self.arrays:
            return ClipBatch(audio, *speech_id_tensors([SpokenText(text) for text in texts], self.longest))
        captions = self._texts("caption", chosen, captionless)
        return ClipBatch(
            audio,
            *speech_id_tensors([SpokenText(text) for text in texts], self.longest),
            video=self._tensor("video", chosen),
            caption=caption_tensor(captions),
            face=self._tensor("face", chosen),
            mouth=self._tensor("mouth", chosen),
        )

    def _texts(self, name: str, chosen: np.ndarray, dropped: np.ndarray) -> list[str | None]:
        return [None if drop else str(self.arrays[name][i]) for i, drop in zip(chosen, dropped, strict=True)]

    def _tensor(self, name: str, chosen: np.ndarray) -> Tensor:
        return torch.from_numpy(self.arrays[name][chosen].astype(np.float32))
