"""Noise masks of audio tracks, built when sampling starts: each speaker's time, and silence after the transcript.

ComfyUI takes a mask with four axes for an image's and copies that of the first track to all others. Therefore each
track's mask is built again from its speaker's time.

A model that gives each character a fixed time goes on with words of its own after the transcript, in a clip much longer
than those of its training. Therefore the sound after the transcript is set to silence and kept, by the same noise mask
that keeps a user's sound. Models that place words by themselves, such as the released one, are not changed.

Dimension key: S mel frames.
"""

from collections.abc import Sequence
from typing import Any

import comfy.utils
import torch
from torch import Tensor

from ....uniavgen_core.config import TextConfig
from ....uniavgen_core.media.audio.mel import silent_mel
from ....uniavgen_core.shapes import MEL_RATE
from ....uniavgen_core.text.speech_tensors import cached_speech_ids
from ..notices import announce
from .pass_settings import Speech, pass_settings_of

MARGIN_SECONDS = 0.3
"""Time that a text may take beyond its latest expected end."""
NOTICED_SECONDS = 2.0
"""Shortest silence that a notice reports."""


def silence(mel_frames: int) -> Tensor:
    """Normalised mel of digital silence, (mel_frames, 80)."""
    return silent_mel().repeat(mel_frames, 1)


def spoken_mask(speech: Speech, mel_frames: int) -> Tensor:
    """Noise mask of a speaker's track: 1 where it is generated, 0 where it is kept silent, (S,)."""
    mask = torch.zeros(mel_frames)
    stop = mel_frames if speech.stop is None else round(speech.stop * MEL_RATE)
    mask[round(speech.start * MEL_RATE) : stop] = 1
    return mask


def end_of_speech(speech: Speech, config: TextConfig) -> int | None:
    """Mel frame at which a text must have ended; None if the model places words by itself or there is no text."""
    if speech.text is None or config.places_words:
        return None
    start = round(MEL_RATE * speech.start)
    length = config.spoken_frames(len(cached_speech_ids(speech.text)))
    return start + round(length + MEL_RATE * (config.position_margin + MARGIN_SECONDS))


def unpacked_mask(mask: Tensor | None, noise: Tensor, shapes: Sequence) -> list[Tensor]:
    """Noise masks of the video and the audio latent, 1 where generated, of these shapes; both are packed in a run."""
    return comfy.utils.unpack_latents(torch.ones_like(noise) if mask is None else mask, shapes)


def mask_tracks(
    execute: Any, noise: Tensor, latent: Tensor, sampler: Any, sigmas: Tensor, mask: Tensor | None, *args, **kw
) -> Tensor:
    """Sample with each track's own mask and silence after its transcript; a wrapper of ComfyUI's OUTER_SAMPLE type."""
    positive, shapes = execute.class_obj.conds.get("positive"), kw.get("latent_shapes") or ()
    if positive and len(shapes) > 1:
        if mask is not None and shapes[1][1] > 1:
            video, audio = comfy.utils.unpack_latents(mask, shapes)
            tracks = [spoken_mask(speech, audio.shape[2]) for speech in pass_settings_of(positive[0]).speeches]
            audio = torch.stack(tracks)[None, :, :, None].to(audio).expand_as(audio)
            mask, _ = comfy.utils.pack_latents([video, audio])
        config = execute.class_obj.model_patcher.model.diffusion_model.config.text
        ends = _ends_of_tracks([pass_settings_of(options).speeches for options in positive], shapes[1], config)
        if any(end is not None for end in ends):
            masks = unpacked_mask(mask, noise, shapes)
            latent, mask = _with_silence_after(comfy.utils.unpack_latents(latent, shapes), masks, ends)
    return execute(noise, latent, sampler, sigmas, mask, *args, **kw)


def _ends_of_tracks(
    speeches: Sequence[tuple[Speech, ...]], shape: Sequence[int], config: TextConfig
) -> list[int | None]:
    """Mel frame at which each track's text ends, None if it fills the clip; the latest of several conditionings."""
    ends: list[int | None] = []
    for track in range(shape[1]):
        found = [end_of_speech(run[min(track, len(run) - 1)], config) for run in speeches]
        last = None if None in found else max(end for end in found if end is not None)
        ends.append(last if last is not None and last < shape[2] else None)
    return ends


def _with_silence_after(
    latents: list[Tensor], masks: list[Tensor], ends: Sequence[int | None]
) -> tuple[Tensor, Tensor]:
    """Packed latent and mask, in which silence is kept instead of sound generated after ``ends``."""
    (video, audio), (video_mask, audio_mask) = latents, masks
    audio, audio_mask = audio.clone(), audio_mask.clone()
    longest = 0
    for track, end in enumerate(ends):
        if end is None:
            continue
        generated = audio_mask[:, track, end:] > 0
        audio[:, track, end:] = torch.where(generated, silence(1).to(audio), audio[:, track, end:])
        audio_mask[:, track, end:] = 0
        longest = max(longest, int(generated.any(dim=-1).sum(dim=-1).max()))
    if longest > NOTICED_SECONDS * MEL_RATE:
        announce(
            f"The transcript ends {longest / MEL_RATE:.1f} s before the clip does, and the rest is silent: this model "
            "cannot speak more slowly. Write more to say, or make the clip shorter."
        )
    return comfy.utils.pack_latents([video, audio])[0], comfy.utils.pack_latents([video_mask, audio_mask])[0]
