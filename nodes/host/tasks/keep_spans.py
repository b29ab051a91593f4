"""Any spans of a user's clip kept, the rest generated: in-painting in time.

Dimension key: F video frames, H and W pixel rows and columns, T video latents, S mel frames.
"""

from dataclasses import dataclass, replace
from typing import Any

import torch

from ....uniavgen_core.config import Interaction
from ....uniavgen_core.media.audio.kept_sound import mel_of, quiet_notices
from ....uniavgen_core.media.audio.sound import Sound, cut
from ....uniavgen_core.media.restore import Source
from ....uniavgen_core.media.time_spans import Spans
from ....uniavgen_core.media.video.frames import fit_frame_count, resample_frames
from ....uniavgen_core.shapes import FPS, SPATIAL_FACTOR, video_frames_of
from ..media.clip_size import STRETCH
from ..media.footage import Footage, decode_video, first_sound
from ..media.picture_latents import encode_pictures
from ..media.source_media import Given
from ..sampling.joint_latent import keep_audio, keep_video, masks_of, split


@dataclass(frozen=True)
class Kept:
    """What of a user's clip is kept.

    Attributes:
        video: VIDEO, or None.
        sound: AUDIO in place of the video's own sound, or None.
        video_spans: Spans of the pictures.
        audio_spans: Spans of the sound.
    """

    video: Any
    sound: dict | None
    video_spans: Spans
    audio_spans: Spans


def keep_spans(latent: dict, video_codec: Any, kept: Kept) -> tuple[dict, Given, list[str]]:
    """Write the kept spans into a latent.

    Args:
        latent: Joint LATENT of one clip.
        video_codec: VAE object for pictures.
        kept: What is kept. Pictures of other proportions are stretched, and what is generated is stretched back.

    Returns:
        LATENT with masks, the material to put back, and notices.

    Raises:
        ValueError: If spans are kept of what is not there or lie outside it.
    """
    footage, sound, notices = _material(kept)
    seconds = video_frames_of(split(latent)[0].shape[2]) / FPS
    source = Source()
    gain = 1.0
    if kept.video_spans:
        kept.video_spans.check_within(footage.seconds, "the video")
        spans = kept.video_spans.clipped(min(seconds, footage.seconds))
        latent = _keep_pictures(latent, video_codec, footage, spans)
        source = replace(source, frames=footage.frames, fps=footage.fps, video_kept=spans)
    if kept.audio_spans:
        kept.audio_spans.check_within(sound.seconds, "the sound")
        spans = kept.audio_spans.clipped(min(seconds, sound.seconds))
        notices = [*notices, *quiet_notices(cut(sound, 0.0, seconds), "the sound")]
        latent, gain = _keep_sound(latent, sound, spans)
        source = replace(source, sound=sound, audio_kept=spans)
    return latent, Given(source, gain, kept.video), notices


def _material(kept: Kept) -> tuple[Footage | None, Sound | None, list[str]]:
    """Decode what spans are kept of."""
    footage, sound, notices = None, None, []
    if kept.video is not None:
        footage, notices = decode_video(kept.video, "the video")
        sound = footage.sound
    if kept.sound is not None:
        sound, notices = first_sound(kept.sound, "the sound")
    for spans, there, what in ((kept.video_spans, footage, "video"), (kept.audio_spans, sound, "sound")):
        if spans and there is None:
            raise ValueError(
                f"Spans of the {what} are to be kept ({spans}), but no {what} is connected. Connect one, or leave the "
                "spans empty."
            )
    return footage, sound, notices


def _keep_pictures(latent: dict, video_codec: Any, footage: Footage, spans: Spans) -> dict:
    video = split(latent)[0]
    rows, columns = video.shape[-2:]
    frames = resample_frames(footage.frames, float(footage.fps), FPS)
    count = video_frames_of(video.shape[2])
    frames = fit_frame_count(frames[:count], count)
    clean = encode_pictures(video_codec, frames, (columns * SPATIAL_FACTOR, rows * SPATIAL_FACTOR), STRETCH)
    return keep_video(latent, clean, (~spans.latent_mask(video.shape[2])).float())


def _keep_sound(latent: dict, sound: Sound, spans: Spans) -> tuple[dict, float]:
    video, audio = split(latent)
    frames = video_frames_of(video.shape[2])
    mel, gain = mel_of(cut(sound, 0.0, frames / FPS), frames)
    mel = mel[: audio.shape[2]]
    return keep_audio(latent, mel, (~spans.mel_mask(len(mel))).float()), gain


def interaction_of(latent: dict) -> Interaction:
    """Directions that have something to update: none into a modality that is kept whole."""
    video, audio = (bool(torch.any(mask != 0)) for mask in masks_of(latent))
    return {
        (True, False): Interaction.AUDIO_TO_VIDEO,
        (False, True): Interaction.VIDEO_TO_AUDIO,
        (False, False): Interaction.OFF,
    }.get((video, audio), Interaction.BOTH)
