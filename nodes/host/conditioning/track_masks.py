"""Noise masks of several audio tracks.

ComfyUI takes a mask with four axes for an image's and copies that of the first track to all others. Therefore each
track's mask is built again from its speaker's time when sampling starts.

Dimension key: B batch, K audio tracks, S mel frames.
"""

from collections.abc import Sequence
from typing import Any

import comfy.utils
import torch
from torch import Tensor

from ....uniavgen_core.shapes import MEL_RATE
from .pass_settings import Speech, pass_settings_of

MASK = 4
"""Index of the noise mask among the arguments of an OUTER_SAMPLE wrapper: noise, latent, sampler, sigmas, mask."""


def spoken_mask(speech: Speech, mel_frames: int) -> Tensor:
    """Noise mask of a speaker's track: 1 where it is generated, 0 where it is kept silent, (S,)."""
    mask = torch.zeros(mel_frames)
    stop = mel_frames if speech.stop is None else round(speech.stop * MEL_RATE)
    mask[round(speech.start * MEL_RATE) : stop] = 1
    return mask


def mask_tracks(execute: Any, *args: Any, latent_shapes: Sequence | None = None, **kwargs: Any) -> Tensor:
    """Sample with a separate mask for each of several tracks; a wrapper of ComfyUI's OUTER_SAMPLE type."""
    positive, mask = execute.class_obj.conds.get("positive"), args[MASK]
    if mask is not None and latent_shapes is not None and positive and latent_shapes[1][1] > 1:
        video, audio = comfy.utils.unpack_latents(mask, latent_shapes)
        tracks = [spoken_mask(speech, audio.shape[2]) for speech in pass_settings_of(positive[0]).speeches]
        audio = torch.stack(tracks)[None, :, :, None].to(audio).expand_as(audio)
        args = (*args[:MASK], comfy.utils.pack_latents([video, audio])[0], *args[MASK + 1 :])
    return execute(*args, latent_shapes=latent_shapes, **kwargs)
