"""Checks of what was sampled: broken, silent, black or frozen results, each with its likely cause and a cure.

Dimension key: B clips, F video frames, H and W pixel rows and columns, N samples.
"""

from itertools import pairwise

import torch
from torch import Tensor

SILENT_PEAK = 1e-3
BLACK = 8 / 255
"""Brightest value of a picture that is seen as black."""
STILL = 0.5 / 255
"""Largest change of a pixel between frames that nobody sees."""
FEWEST_FRAMES = 9
"""Frames from which on a picture that stands still is no accident."""
CURE = "Load the model in bf16 or fp32 instead of fp16, lower the guidance, or leave out LoRAs and other patches."


def require_finite(video: Tensor, audio: Tensor) -> None:
    """Refuse latents that nothing can be decoded from.

    Args:
        video: Video latents of any shape.
        audio: Audio latents of any shape.

    Raises:
        ValueError: If either holds infinity or NaN.
    """
    for latent, kind, result in ((video, "video", "video would be black"), (audio, "audio", "audio would be noise")):
        if not torch.isfinite(latent).all():
            raise ValueError(
                f"The {kind} latent holds values that are not finite, so the {result}. An overflow in half precision "
                f"is the usual cause. {CURE}"
            )


def result_notices(pictures: Tensor | None, waveforms: Tensor) -> list[str]:
    """Notices about generated clips that are silent, black or frozen.

    Args:
        pictures: Generated pictures in [0, 1], (B, F, H, W, 3); None where they are the user's own.
        waveforms: Generated sound, (B, 1, N); N is 0 where it is the user's own.
    """
    notices = []
    if waveforms.numel():
        notices += _about(
            [bool(waveform.abs().max() < SILENT_PEAK) for waveform in waveforms],
            "audio", "silent", "Check the transcript and the number of steps.",
        )  # fmt: skip
    if pictures is not None:
        black = [bool(clip.max() < BLACK) for clip in pictures]
        frozen = [not dark and _is_still(clip) for clip, dark in zip(pictures, black, strict=True)]
        notices += _about(black, "video", "black", f"Values that overflow are the usual cause. {CURE}")
        notices += _about(
            frozen, "video", "frozen: all frames are the same",
            "Check the steps and the caption, and whether 'UniAVGen Keep' keeps all of it.",
        )  # fmt: skip
    return notices


def _is_still(clip: Tensor) -> bool:
    """True if no pixel of pictures (F, H, W, 3) changes."""
    return len(clip) >= FEWEST_FRAMES and all(
        bool((after - before).abs().max() < STILL) for before, after in pairwise(clip)
    )


def _about(found: list[bool], what: str, state: str, cure: str) -> list[str]:
    """Notice about the clips of a batch of which something was found."""
    numbers = [str(number) for number, is_found in enumerate(found, 1) if is_found]
    if not numbers:
        return []
    which = f" of clip {', '.join(numbers)}" if len(found) > 1 else ""
    return [f"The generated {what}{which} is {state}. {cure}"]
