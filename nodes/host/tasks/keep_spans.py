"""In-painting in time: any spans of a user's clip are kept, and the rest is generated."""

from dataclasses import replace
from typing import Any

import torch

from ....uniavgen_core.config import Interaction
from ....uniavgen_core.media.audio.quiet_sound import quiet_notices
from ....uniavgen_core.media.audio.sound import Sound, cut, mel_of
from ....uniavgen_core.media.restore import Source
from ....uniavgen_core.media.time_spans import Spans
from ....uniavgen_core.media.video.frames import fit_frame_count, resample_frames
from ....uniavgen_core.shapes import FPS, SPATIAL_FACTOR, video_frames_of
from ....uniavgen_core.tasks import interaction_for
from ..media.clip_size import STRETCH
from ..media.footage import Footage, decode_video, first_sound
from ..media.source_media import SourceMedia
from ..media.vaes import encode_pictures
from ..sampling.joint_latent import keep_audio, keep_video, masks_of, split


def keep_spans(
    latent: dict, video_vae: Any, video: Any, audio: dict | None, video_spans: Spans, audio_spans: Spans
) -> tuple[dict, SourceMedia, list[str]]:
    """Write the kept spans of a VIDEO, and of an AUDIO in place of its own sound, into a joint LATENT.

    Pictures of other proportions are stretched, and what is generated is stretched back.

    Returns:
        LATENT with masks, the media to restore, and notices.

    Raises:
        ValueError: If spans are kept of what is not there or lie outside it.
    """
    footage, sound, notices = _footage_and_sound(video, audio)
    for spans, media, what in ((video_spans, footage, "video"), (audio_spans, sound, "audio")):
        if spans and media is None:
            raise ValueError(
                f"Spans of the {what} are to be kept ({spans}), but no {what} is connected. Connect it, or leave the "
                "spans empty."
            )
    seconds = video_frames_of(split(latent)[0].shape[2]) / FPS
    source, gain = Source(), 1.0
    if video_spans and footage is not None:
        video_spans.check_within(footage.seconds, "the video")
        spans = video_spans.clipped(min(seconds, footage.seconds))
        latent = _keep_pictures(latent, video_vae, footage, spans)
        source = replace(source, frames=footage.frames, fps=footage.fps, video_kept=spans)
    if audio_spans and sound is not None:
        audio_spans.check_within(sound.seconds, "the audio")
        spans = audio_spans.clipped(min(seconds, sound.seconds))
        notices = [*notices, *quiet_notices(cut(sound, 0.0, seconds), "the audio")]
        latent, gain = _keep_sound(latent, sound, spans)
        source = replace(source, sound=sound, audio_kept=spans)
    return latent, SourceMedia(source, gain, video), notices


def _footage_and_sound(video: Any, audio: dict | None) -> tuple[Footage | None, Sound | None, list[str]]:
    """Decode the media that spans are kept of."""
    footage, sound, notices = None, None, []
    if video is not None:
        footage, notices = decode_video(video, "the video")
        sound = footage.sound
    if audio is not None:
        sound, notices = first_sound(audio, "the audio")
    return footage, sound, notices


def _keep_pictures(latent: dict, video_vae: Any, footage: Footage, spans: Spans) -> dict:
    video = split(latent)[0]
    rows, columns = video.shape[-2:]
    frames = resample_frames(footage.frames, float(footage.fps), FPS)
    count = video_frames_of(video.shape[2])
    frames = fit_frame_count(frames[:count], count)
    clean = encode_pictures(video_vae, frames, (columns * SPATIAL_FACTOR, rows * SPATIAL_FACTOR), STRETCH)
    return keep_video(latent, clean, (~spans.latent_mask(video.shape[2])).float())


def _keep_sound(latent: dict, sound: Sound, spans: Spans) -> tuple[dict, float]:
    video, audio = split(latent)
    frames = video_frames_of(video.shape[2])
    mel, gain = mel_of(cut(sound, 0.0, frames / FPS), frames)
    mel = mel[: audio.shape[2]]
    return keep_audio(latent, mel, (~spans.mel_mask(len(mel))).float()), gain


def directions_of(latent: dict) -> Interaction:
    """Directions for a LATENT: none into a modality whose mask keeps all of it."""
    return interaction_for(*(not bool(torch.any(mask)) for mask in masks_of(latent)))
