"""Silence after the transcript, for models that expect each character at a time of its own.

Such a model knows when its text is over, but in a clip much longer than its training's it then goes on with words of
its own. So what follows the text is kept silent, as given sound is kept. Models that place words by themselves, the
released one among them, are left alone.

Dimension key: B batch, K audio tracks, S mel frames.
"""

from collections.abc import Callable, Sequence
from typing import Any

import comfy.utils
import torch
from torch import Tensor

from ....uniavgen_core.config import TextConfig
from ....uniavgen_core.shapes import MEL_RATE
from ....uniavgen_core.text.speech_tensors import cached_speech_ids
from ..notices import announce
from .pass_settings import Speech, pass_settings_of
from .speaker_tracks import silence
from .track_masks import MASK

LATENT = 1
"""Place of the latent among an OUTER_SAMPLE's arguments, where ``MASK`` is that of the noise mask."""
MARGIN_SECONDS = 0.3
"""Time that a text may take beyond its expected end."""
TOLD_SECONDS = 2.0
"""Silence that is worth a notice."""


def end_of_speech(speech: Speech, config: TextConfig) -> int | None:
    """Mel frame of the clip at which a text must have ended; None where the model places it, or there is no text."""
    if speech.text is None or config.position_scale == 1.0:
        return None
    start = round(MEL_RATE * speech.start)
    length = config.position_offset + config.position_scale * len(cached_speech_ids(speech.text))
    return start + round(length + MEL_RATE * MARGIN_SECONDS)


def audio_mask_of(mask: Tensor | None, noise: Tensor, shapes: Sequence) -> Tensor:
    """Noise mask of the sound, 1 where it is generated, (B, K, S, 80).

    Args:
        mask: The packed noise mask of a sampling run, or None.
        noise: Its packed noise.
        shapes: Shapes of the latent's parts.
    """
    return comfy.utils.unpack_latents(torch.ones_like(noise) if mask is None else mask, shapes)[1]


def silence_after_speech(execute: Callable, *args: Any, latent_shapes: Sequence | None = None, **kwargs: Any) -> Tensor:
    """Sample with silence after the text. A wrapper of ComfyUI's OUTER_SAMPLE kind."""
    positive = execute.class_obj.conds.get("positive")
    if positive and latent_shapes is not None and len(latent_shapes) > 1:
        config = execute.class_obj.model_patcher.model.diffusion_model.config.text
        ends = _ends([pass_settings_of(options).speeches for options in positive], latent_shapes[1], config)
        if any(end is not None for end in ends):
            args = _silenced(args, latent_shapes, ends)
    return execute(*args, latent_shapes=latent_shapes, **kwargs)


def _ends(speeches: Sequence[tuple[Speech, ...]], shape: Sequence[int], config: TextConfig) -> list[int | None]:
    """Mel frame at which each track's text ends, within the clip; of several conditionings the last end counts."""
    ends: list[int | None] = []
    for track in range(shape[1]):
        found = [end_of_speech(run[min(track, len(run) - 1)], config) for run in speeches]
        last = None if None in found else max(found)
        ends.append(last if last is not None and last < shape[2] else None)
    return ends


def _silenced(args: tuple, shapes: Sequence, ends: Sequence[int | None]) -> tuple:
    """The arguments of a run with silence kept in the sound that would be generated after these mel frames."""
    noise, latent, mask = args[0], args[LATENT], args[MASK]
    video, audio = comfy.utils.unpack_latents(latent, shapes)
    video_mask, audio_mask = comfy.utils.unpack_latents(torch.ones_like(noise) if mask is None else mask, shapes)
    audio, audio_mask = audio.clone(), audio_mask.clone()
    longest = 0
    for track, end in enumerate(ends):
        if end is None:
            continue
        generated = audio_mask[:, track, end:] > 0
        audio[:, track, end:] = torch.where(generated, silence(1).to(audio), audio[:, track, end:])
        audio_mask[:, track, end:] = 0
        longest = max(longest, int(generated.any(dim=-1).sum(dim=-1).max()))
    if longest > TOLD_SECONDS * MEL_RATE:
        announce(
            f"The transcript ends {longest / MEL_RATE:.1f} s before the clip does, and the rest is silent: this model "
            "cannot speak more slowly. Write more to say, or make the clip shorter."
        )
    latent, mask = (comfy.utils.pack_latents(parts)[0] for parts in ([video, audio], [video_mask, audio_mask]))
    return (noise, latent, *args[LATENT + 1 : MASK], mask, *args[MASK + 1 :])
