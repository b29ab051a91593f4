"""Several speakers in one clip, each with an audio track, a transcript and its time, a mask and a voice.

Dimension key: B batch, K speakers, F video frames, H and W pixel rows and columns, T video latents, h and w latent rows
and columns, R mel frames of a reference voice.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from comfy.nested_tensor import NestedTensor
from comfy_api.latest import io
from torch import Tensor

from ....uniavgen_core.media.video.latent_masks import to_latent_mask
from ....uniavgen_core.shapes import MEL_RATE
from ..sampling.joint_latent import keep_audio, masks_of, split
from .pass_settings import FACE_MASK_KEY, REFERENCE_VOICE_KEY, Speech, Steering, set_pass, set_values
from .track_masks import silence, spoken_mask

SpeakerType = io.Custom("UNIAVGEN_SPEAKER")


@dataclass(frozen=True)
class Speaker:
    """One speaker of a clip.

    Attributes:
        speech: Speech of the speaker's track.
        mask: Mask of the speaker, (F, H, W) in [0, 1]; None for the whole picture.
        voice: Normalised mel of the reference voice, (R, 80), or None.
    """

    speech: Speech
    mask: Tensor | None = None
    voice: Tensor | None = None


def set_speakers(positive: list, negative: list, latent: dict, speakers: Sequence[Speaker], steering: Steering):
    """Give every speaker an audio track.

    Args:
        positive: CONDITIONING.
        negative: CONDITIONING.
        latent: Joint LATENT of one track.
        speakers: The speakers.
        steering: Combination of their masks with the predicted one.

    Returns:
        Both conditionings, and the LATENT with one audio track per speaker, silent outside the speaker's time.

    Raises:
        ValueError: If a speaker's time lies outside the clip, or the latent has several tracks already.
    """
    video, audio = split(latent)
    if audio.shape[1] != 1:
        raise ValueError(f"The latent has {audio.shape[1]} audio tracks already. Use 'UniAVGen Speakers' once.")
    seconds = audio.shape[2] / MEL_RATE
    values = {FACE_MASK_KEY: torch.stack([latent_mask(speaker.mask, video) for speaker in speakers])[None]}
    voices = [speaker.voice for speaker in speakers]
    if any(voice is not None for voice in voices):
        values[REFERENCE_VOICE_KEY] = join_voices(voices)[None]
    latent = _with_tracks(latent, len(speakers))
    for track, speaker in enumerate(speakers):
        _check_time(speaker.speech, track, seconds)
        latent = keep_audio(latent, silence(audio.shape[2]), spoken_mask(speaker.speech, audio.shape[2]), track)
    speeches = tuple(speaker.speech for speaker in speakers)
    positive = set_pass(set_values(positive, values), speeches=speeches, steering=steering)
    negative = set_pass(set_values(negative, values), speeches=(Speech(),) * len(speakers))
    return positive, negative, latent


def latent_mask(mask: Tensor | None, video: Tensor) -> Tensor:
    """Mask (T, h, w) of a video latent (B, 48, T, h, w), from a user's mask (F, H, W); all ones for None."""
    if mask is None:
        return torch.ones(video.shape[2:])
    frames, height, width = video.shape[2:]
    return to_latent_mask(mask.cpu(), (frames, height, width))


def join_voices(voices: Sequence[Tensor | None]) -> Tensor:
    """Reference voices of all speakers as one tensor (K, R, 80); shorter and missing ones start with silence."""
    given = [silence(0) if voice is None else voice for voice in voices]
    longest = max(map(len, given))
    return torch.stack([torch.cat((silence(longest - len(voice)), voice)) for voice in given])


def _with_tracks(latent: dict, tracks: int) -> dict:
    """LATENT whose audio track and its mask are repeated ``tracks`` times."""
    (video, audio), (video_mask, audio_mask) = split(latent), masks_of(latent)
    samples = NestedTensor((video, audio.repeat(1, tracks, 1, 1)))
    return {**latent, "samples": samples, "noise_mask": NestedTensor((video_mask, audio_mask.repeat(1, tracks, 1, 1)))}


def _check_time(speech: Speech, track: int, seconds: float) -> None:
    stop = seconds if speech.stop is None else speech.stop
    if not 0 <= speech.start < stop or speech.start >= seconds:
        raise ValueError(
            f"Speaker {track + 1} speaks from {speech.start:g} to {stop:g} s, but the clip lasts from 0 to "
            f"{seconds:g} s. Set the start before the end, both within the clip."
        )
