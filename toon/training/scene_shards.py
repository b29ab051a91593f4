"""Scenes, pairs and voices as training arrays on disk: what the five tasks and two faces are learned from.

Dimension key: T latent frames, H and W latent rows and columns, S mel frames, R mel frames of a reference voice.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch

from uniavgen_core.bundled.bundled_files import load_codec
from uniavgen_core.bundled.video_codec import VideoCodec
from uniavgen_core.media.audio.reference_voice import SILENCE_FRAMES
from uniavgen_core.media.video.frames import codec_pixels
from uniavgen_core.media.video.latent_masks import latent_shares
from uniavgen_core.shapes import HOP_LENGTH, MEL_RATE, SAMPLE_RATE

from ..clips.pair import make_pair
from ..clips.scene import make_scene
from ..clips.sentence import draw_sentence
from ..clips.speech import VOICES, Emotion, speak
from .clip_shards import ShardPlan, mel_of, save_rows, write_missing

Row = Mapping[str, np.ndarray]

VOICE_FRAMES = (120, 160, 206)
"""Mel frames of a reference voice, silence not counted: each holds one sentence of a toon."""
_VOICE_STREAM = 4


def scene_row(codec: VideoCodec, split: str, seed: int) -> Row:
    """One scene: one toon, its sentence at a time of its own."""
    scene = make_scene(seed, split)
    clip = scene.clip
    return {
        "video": _encode(codec, clip.frames),
        "reference": _encode(codec, scene.earlier[None]),
        "mel": mel_of(clip.waveform),
        "face": latent_shares(clip.face_mask),
        "mouth": latent_shares(clip.mouth_mask),
        "transcript": np.array(clip.transcript),
        "caption": np.array(clip.caption),
        "voice": np.array(len(Emotion) * clip.voice + clip.emotion),
        "start": np.array(MEL_RATE * scene.start),
        "end": np.array(MEL_RATE * scene.end),
        "kept_latents": np.array(scene.kept_latents),
        "fits": np.array(scene.fits),
    }


def pair_row(codec: VideoCodec, split: str, seed: int) -> Row:
    """One pair: two toons side by side, arrays of both with the left one first."""
    pair = make_pair(seed, split)
    sides = (0, 1)
    return {
        "video": _encode(codec, pair.frames),
        "mel": np.stack([mel_of(clip.waveform) for clip in pair.clips]),
        "face": np.stack([latent_shares(pair.face_mask(side)) for side in sides]),
        "mouth": np.stack([latent_shares(pair.mouth_mask(side)) for side in sides]),
        "transcript": np.array([clip.transcript for clip in pair.clips]),
        "caption": np.array([pair.caption, pair.clips[pair.speakers[0]].caption]),
        "voice": np.array([len(Emotion) * clip.voice + clip.emotion for clip in pair.clips]),
        "start": MEL_RATE * np.array(pair.starts),
        "end": MEL_RATE * np.array(pair.ends),
    }


def voice_row(codec: VideoCodec | None, split: str, seed: int) -> Row:
    """One reference voice with its silence, filled with zeros to the longest; voices and emotions take turns."""
    del codec  # A voice has no picture.
    voice, emotion = seed % len(VOICES), seed // len(VOICES) % len(Emotion)
    rng = np.random.default_rng((seed, _VOICE_STREAM))
    speech = speak(draw_sentence(rng, 33, split), voice, emotion, seed=seed)
    frames = int(rng.choice([frames for frames in VOICE_FRAMES if frames >= MEL_RATE * speech.end]))
    sound = np.concatenate([speech.waveform, np.zeros(SAMPLE_RATE, np.float32)])[: frames * HOP_LENGTH]
    mel = mel_of(np.concatenate([sound, np.zeros(SILENCE_FRAMES * HOP_LENGTH, np.float32)]))
    return {
        "mel": np.pad(mel, ((0, VOICE_FRAMES[-1] + SILENCE_FRAMES - len(mel)), (0, 0))),
        "frames": np.array(len(mel)),
        "transcript": np.array(speech.transcript),
        "voice": np.array(len(Emotion) * voice + emotion),
    }


ROWS: dict[str, Callable[[VideoCodec | None, str, int], Row]] = {
    "scenes": scene_row,
    "pairs": pair_row,
    "voices": voice_row,
}


def write_rows(plan: ShardPlan, kind: str, codec_path: Path, workers: int = 1) -> None:
    """Make the shards of one kind that are missing.

    Args:
        plan: Folder, seeds and split.
        kind: Key of ``ROWS``.
        codec_path: The trained codec.
        workers: Processes that make them.
    """
    write_missing(plan, partial(_write_shard, kind, plan.split, codec_path), workers)


def _write_shard(kind: str, split: str, codec_path: Path, shard: tuple[Path, range]) -> None:
    path, seeds = shard
    codec = load_codec(codec_path)
    save_rows(path, [ROWS[kind](codec, split, seed) for seed in seeds])


@torch.no_grad()
def _encode(codec: VideoCodec, frames: np.ndarray) -> np.ndarray:
    return codec.encode(codec_pixels(frames))[0].numpy().astype(np.float16)
