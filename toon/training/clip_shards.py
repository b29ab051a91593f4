"""Seeded toons as training arrays on disk: sounds, clips, scenes, pairs and reference voices.

Every shard is made from its seeds alone, so a broken run goes on with the shards that are missing.
Dimension key: B batch, T latent frames, H and W latent rows and columns, S mel frames, R mel frames of a reference
voice.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from uniavgen_core.atomic_write import atomic_write
from uniavgen_core.bundled.bundled_files import load_codec
from uniavgen_core.bundled.hashed_captions import hashed_features
from uniavgen_core.bundled.video_codec import VideoCodec
from uniavgen_core.media.audio.mel import normalized_mel
from uniavgen_core.media.audio.reference_voice import SILENCE_FRAMES
from uniavgen_core.media.video.frames import codec_pixels
from uniavgen_core.media.video.latent_masks import latent_shares
from uniavgen_core.shapes import HOP_LENGTH, MEL_RATE, SAMPLE_RATE
from uniavgen_core.text.tokenize import pad_speech_ids, speech_ids

from ..clips.clip import make_clip
from ..clips.delivery import draw_delivery
from ..clips.pair import make_pair
from ..clips.scene import make_scene
from ..clips.speech import VOICES, Emotion, draw_line, make_speech, recite
from ..clips.world import STEADY, World

CAPTION_DIM = 64
CAPTION_LENGTH = 32
VOICE_FRAMES = (120, 160, 206)
"""Mel frames of a reference voice, silence not counted: each holds one sentence of a toon."""
_VOICE_STREAM = 4
Row = Mapping[str, np.ndarray]


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
        world: Words of the clips, and what is left to chance.
    """

    folder: Path
    count: int
    split: str = "train"
    video_frames: int = 33
    first_seed: int = 0
    shard: int = 250
    world: World = STEADY

    def shards(self) -> list[tuple[Path, range]]:
        """Path and seeds of every shard."""
        end = self.first_seed + self.count
        starts = range(self.first_seed, end, self.shard)
        return [(self.folder / f"{start:07d}.npz", range(start, min(start + self.shard, end))) for start in starts]


def mel_of(waveform: np.ndarray) -> np.ndarray:
    """Normalised mel of samples at 24 kHz, (N,): float16, (S, 80)."""
    return normalized_mel(torch.from_numpy(waveform)).numpy().astype(np.float16)


def speech_row(codec: VideoCodec | None, plan: ShardPlan, seed: int) -> Row:
    """One sound with its transcript."""
    del codec  # A sound has no picture.
    speech = make_speech(seed, plan.video_frames, plan.split, world=plan.world)
    return {"mel": mel_of(speech.waveform), "transcript": np.array(speech.transcript)}


def clip_row(codec: VideoCodec, plan: ShardPlan, seed: int) -> Row:
    """One clip: latents, sound, masks and texts."""
    clip = make_clip(seed, plan.video_frames, split=plan.split, world=plan.world)
    return {
        "video": _encode(codec, clip.frames),
        "mel": mel_of(clip.waveform),
        "face": latent_shares(clip.face_mask),
        "mouth": latent_shares(clip.mouth_mask),
        "eyes": latent_shares(clip.eye_mask),
        "transcript": np.array(clip.transcript),
        "caption": np.array(clip.caption),
    }


def scene_row(codec: VideoCodec, plan: ShardPlan, seed: int) -> Row:
    """One scene: one toon, its sentence at a time of its own."""
    scene = make_scene(seed, plan.split, world=plan.world, video_frames=plan.video_frames)
    clip = scene.clip
    return {
        "video": _encode(codec, clip.frames),
        "reference": _encode(codec, scene.earlier[None]),
        "mel": mel_of(clip.waveform),
        "face": latent_shares(clip.face_mask),
        "mouth": latent_shares(clip.mouth_mask),
        "eyes": latent_shares(clip.eye_mask),
        "transcript": np.array(clip.transcript),
        "caption": np.array(clip.caption),
        "voice": np.array(len(Emotion) * clip.voice + clip.emotion),
        "start": np.array(MEL_RATE * scene.start),
        "end": np.array(MEL_RATE * scene.end),
        "kept_latents": np.array(scene.kept_latents),
        "fits": np.array(scene.fits),
    }


def pair_row(codec: VideoCodec, plan: ShardPlan, seed: int) -> Row:
    """One pair: two toons side by side, arrays of both with the left one first."""
    pair = make_pair(seed, plan.split, world=plan.world)
    sides = (0, 1)
    return {
        "video": _encode(codec, pair.frames),
        "mel": np.stack([mel_of(clip.waveform) for clip in pair.clips]),
        "face": np.stack([latent_shares(pair.face_mask(side)) for side in sides]),
        "mouth": np.stack([latent_shares(pair.mouth_mask(side)) for side in sides]),
        "eyes": np.stack([latent_shares(pair.eye_mask(side)) for side in sides]),
        "transcript": np.array([clip.transcript for clip in pair.clips]),
        "caption": np.array([pair.caption, pair.clips[pair.speakers[0]].caption]),
        "voice": np.array([len(Emotion) * clip.voice + clip.emotion for clip in pair.clips]),
        "start": MEL_RATE * np.array(pair.starts),
        "end": MEL_RATE * np.array(pair.ends),
    }


def voice_row(codec: VideoCodec | None, plan: ShardPlan, seed: int) -> Row:
    """One reference voice with its silence, filled with zeros to the longest; voices and emotions take turns."""
    del codec  # A voice has no picture.
    voice, emotion = seed % len(VOICES), seed // len(VOICES) % len(Emotion)
    rng = np.random.default_rng((seed, _VOICE_STREAM))
    delivery = draw_delivery(rng, plan.world)
    line = draw_line(rng, 0.0, plan.video_frames, plan.split, delivery, plan.world)
    speech = recite([line], voice, emotion, plan.video_frames, seed, delivery)
    frames = int(rng.choice([frames for frames in VOICE_FRAMES if frames >= MEL_RATE * speech.end]))
    sound = np.concatenate([speech.waveform, np.zeros(SAMPLE_RATE, np.float32)])[: frames * HOP_LENGTH]
    mel = mel_of(np.concatenate([sound, np.zeros(SILENCE_FRAMES * HOP_LENGTH, np.float32)]))
    return {
        "mel": np.pad(mel, ((0, VOICE_FRAMES[-1] + SILENCE_FRAMES - len(mel)), (0, 0))),
        "frames": np.array(len(mel)),
        "transcript": np.array(speech.transcript),
        "voice": np.array(len(Emotion) * voice + emotion),
    }


@torch.no_grad()
def _encode(codec: VideoCodec, frames: np.ndarray) -> np.ndarray:
    return codec.encode(codec_pixels(frames))[0].numpy().astype(np.float16)


def write_shards(
    plan: ShardPlan, row_of: Callable[[Any, ShardPlan, int], Row], codec_path: Path | None = None, workers: int = 1
) -> None:
    """Make the shards of a plan that are missing.

    Args:
        plan: Folder and seeds.
        row_of: Makes one row from a codec, the plan and a seed; a module's function, so that processes can have it.
        codec_path: The trained codec; None for rows without pictures.
        workers: Processes that share the work.
    """
    write = partial(_write_shard, plan, row_of, codec_path)
    missing = [shard for shard in plan.shards() if not shard[0].exists()]
    if workers == 1:
        for shard in missing:
            write(shard)
        return
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        list(pool.map(write, missing))


def _write_shard(
    plan: ShardPlan,
    row_of: Callable[[Any, ShardPlan, int], Row],
    codec_path: Path | None,
    shard: tuple[Path, range],
) -> None:
    path, seeds = shard
    codec = None if codec_path is None else load_codec(codec_path)
    rows = [row_of(codec, plan, seed) for seed in seeds]
    save_arrays(path, {name: np.stack([row[name] for row in rows]) for name in rows[0]})


def save_arrays(path: Path, arrays: Row) -> None:
    """Write a shard in one move."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as partial_path, partial_path.open("wb") as file:  # a name would get the ending .npz
        np.savez(file, **arrays)


def read_shards(plan: ShardPlan) -> dict[str, np.ndarray]:
    """All rows of a plan in memory, by name."""
    shards = [np.load(path) for path, _ in plan.shards()]
    return {name: np.concatenate([shard[name] for shard in shards]) for name in shards[0].files}


def tensor_of(rows: np.ndarray, *index: np.ndarray) -> Tensor:
    """Some rows, float32."""
    return torch.from_numpy(rows[index].astype(np.float32))


def longest_text(texts: np.ndarray) -> int:
    """Characters of the longest of some texts, as the network reads them."""
    return max(len(pad_speech_ids(speech_ids(text))) for text in set(texts.ravel().tolist()))


def caption_tensor(captions: Sequence[str | None]) -> Tensor:
    """Caption features filled with zeros to one length, (B, 32, 64); None is the empty caption."""
    features = [hashed_features(caption or "", dim=CAPTION_DIM)[:CAPTION_LENGTH] for caption in captions]
    return torch.stack([F.pad(rows, (0, 0, 0, CAPTION_LENGTH - len(rows))) for rows in features])
