"""Silence after the transcript, for models that give each character a fixed time in the clip.

In a clip much longer than those of its training, such a model goes on with words of its own after the transcript.
Therefore the sound after the transcript is set to silence and kept, by the same noise mask that keeps a user's sound.
Models that place words by themselves, such as the released one, are not changed.

Dimension key: B batch, K audio tracks, S mel frames.
"""

from collections.abc import Sequence
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
"""Index of the latent among the arguments of an OUTER_SAMPLE wrapper; ``MASK`` is that of the noise mask."""
MARGIN_SECONDS = 0.3
"""Time that a text may take beyond its expected end."""
NOTICED_SECONDS = 2.0
"""Shortest silence that a notice reports."""


def end_of_speech(speech: Speech, config: TextConfig) -> int | None:
    """Mel frame at which a text must have ended; None if the model places words by itself or there is no text."""
    if speech.text is None or config.position_scale == 1.0:
        return None
    start = round(MEL_RATE * speech.start)
    length = config.position_offset + config.position_scale * len(cached_speech_ids(speech.text))
    return start + round(length + MEL_RATE * MARGIN_SECONDS)


def audio_mask_of(mask: Tensor | None, noise: Tensor, shapes: Sequence) -> Tensor:
    """Noise mask of the audio latent, 1 where it is generated, (B, K, S, 80).

    Args:
        mask: Packed noise mask of a sampling run, or None.
        noise: Packed noise of the run.
        shapes: Shapes of the video and the audio latent.
    """
    return comfy.utils.unpack_latents(torch.ones_like(noise) if mask is None else mask, shapes)[1]


def silence_after_speech(execute: Any, *args: Any, latent_shapes: Sequence | None = None, **kwargs: Any) -> Tensor:
    """Sample with silence after the transcript; a wrapper of ComfyUI's OUTER_SAMPLE type."""
    positive = execute.class_obj.conds.get("positive")
    if positive and latent_shapes is not None and len(latent_shapes) > 1:
        config = execute.class_obj.model_patcher.model.diffusion_model.config.text
        ends = _ends_of_tracks([pass_settings_of(options).speeches for options in positive], latent_shapes[1], config)
        if any(end is not None for end in ends):
            args = _with_silence_after(args, latent_shapes, ends)
    return execute(*args, latent_shapes=latent_shapes, **kwargs)


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


def _with_silence_after(args: tuple, shapes: Sequence, ends: Sequence[int | None]) -> tuple:
    """Arguments of a sampling run, in which silence is kept instead of sound generated after ``ends``."""
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
    if longest > NOTICED_SECONDS * MEL_RATE:
        announce(
            f"The transcript ends {longest / MEL_RATE:.1f} s before the clip does, and the rest is silent: this model "
            "cannot speak more slowly. Write more to say, or make the clip shorter."
        )
    latent, mask = (comfy.utils.pack_latents(parts)[0] for parts in ([video, audio], [video_mask, audio_mask]))
    return (noise, latent, *args[LATENT + 1 : MASK], mask, *args[MASK + 1 :])
