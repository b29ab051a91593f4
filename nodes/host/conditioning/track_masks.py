"""Noise masks of several audio tracks, which ComfyUI would make all alike.

It takes a mask of four axes for one of an image and spreads that of the first track over all. So when sampling starts
each track's mask is made again from the time its speaker has.

Dimension key: B batch, K audio tracks, S mel frames.
"""

from collections.abc import Callable, Sequence
from typing import Any

import comfy.utils
import torch
from torch import Tensor

from ....uniavgen_core.shapes import MEL_RATE
from .pass_settings import Speech, pass_settings_of

MASK = 4
"""Place of the noise mask among an OUTER_SAMPLE's arguments: noise, latent, sampler, noise levels, mask."""


def spoken_mask(speech: Speech, mel_frames: int) -> Tensor:
    """1 where a track is generated, 0 where it is kept silent, (S,)."""
    mask = torch.zeros(mel_frames)
    stop = mel_frames if speech.stop is None else round(speech.stop * MEL_RATE)
    mask[round(speech.start * MEL_RATE) : stop] = 1
    return mask


def mask_tracks(execute: Callable, *args: Any, latent_shapes: Sequence | None = None, **kwargs: Any) -> Tensor:
    """Sample with a mask for each track, where there are several. A wrapper of ComfyUI's OUTER_SAMPLE kind."""
    positive, mask = execute.class_obj.conds.get("positive"), args[MASK]
    if mask is not None and latent_shapes is not None and positive and latent_shapes[1][1] > 1:
        video, audio = comfy.utils.unpack_latents(mask, latent_shapes)
        tracks = [spoken_mask(speech, audio.shape[2]) for speech in pass_settings_of(positive[0]).speeches]
        audio = torch.stack(tracks)[None, :, :, None].to(audio).expand_as(audio)
        args = (*args[:MASK], comfy.utils.pack_latents([video, audio])[0], *args[MASK + 1 :])
    return execute(*args, latent_shapes=latent_shapes, **kwargs)
