"""Says before sampling where a clip lies outside what the model was trained on, and what to do instead."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import comfy.utils
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from ....uniavgen_core.checkpoint.trained_on import TrainedOn
from ....uniavgen_core.shapes import SPATIAL_FACTOR, video_frames_of
from ..sampling.joint_latent import VIDEO_DIMS

NOTICES_GIVEN = "uniavgen_said"
"""Option of a MODEL whose node has said what there is to say."""


@dataclass(frozen=True)
class LengthAdvice:
    """Remedies for a clip of the wrong length, a sentence each.

    Attributes:
        longer: If it is longer than what was trained.
        shorter: If it is shorter.
    """

    longer: str
    shorter: str


SPEECH = LengthAdvice(
    "For a longer script, use 'UniAVGen Long Video', which speaks it in segments of the trained length.",
    "Make it that long, and cut the finished video.",
)
DUBBING = LengthAdvice(
    "Cut the video into pieces of that length with 'Trim Video', and dub them one by one.", "Use more of the video."
)
LIP_SYNC = LengthAdvice(
    "Cut the sound into pieces of that length with 'Trim Audio Duration', one clip each.",
    "Add silence to the end of the sound, and cut the finished video.",
)
CONTINUATION = LengthAdvice(
    "Let keep_seconds and seconds together be that long; for a longer script, use 'UniAVGen Long Video'.",
    "Let keep_seconds and seconds together be that long.",
)
SEGMENTS = LengthAdvice(
    "Set segment_seconds to that length: the script is spoken in more segments then.",
    "Set segment_seconds to that length, and length to 'full segments'.",
)


def training_range_notices(
    seen: TrainedOn | None, frames: int, size: tuple[int, int], advice: LengthAdvice
) -> list[str]:
    """Notices about the length and the size of a clip.

    Args:
        seen: What the model was trained on; None where that is not known.
        frames: Video frames that are sampled at once.
        size: Width and height, pixels.
        advice: What to do about the length.

    Returns:
        Whole sentences for the user; none where the clip is like those of the training.
    """
    if seen is None:
        return []
    notices, trained = [], f"{seen.model} was trained on clips of {seen.lengths_in_words}"
    if frames > seen.most_frames:
        notices.append(f"{trained}. Longer ones, such as this, come out worse. {advice.longer}")
    if frames < seen.fewest_frames:
        notices.append(f"{trained}. Shorter ones, such as this, come out worse. {advice.shorter}")
    if not seen.knows_size(*size):
        notices.append(
            f"{seen.model} was trained on pictures of {seen.sizes_in_words}. Other sizes, such as {size[0]}x{size[1]}, "
            "come out worse. Choose a trained size, and scale the finished video."
        )
    return notices


def notices_before_sampling(guider: Any, shapes: Sequence[tuple[int, ...]], mask: Tensor | None) -> list[str]:
    """Notices about a latent that is about to be sampled, unless its node has given them.

    Args:
        guider: ComfyUI's guider.
        shapes: Shapes of the latent's parts.
        mask: Its noise mask, packed as the latent is, 1 where generated; None for none.
    """
    model, options = guider.model_patcher.model, guider.model_options
    if options.get("transformer_options", {}).get(NOTICES_GIVEN) or not model.has_video or len(shapes[0]) != VIDEO_DIMS:
        return []
    window = options.get("context_handler")  # ComfyUI's context windows: the model sees only so much at once
    latents = shapes[0][2] if window is None else min(shapes[0][2], window.context_length)
    size = (shapes[0][-1] * SPATIAL_FACTOR, shapes[0][-2] * SPATIAL_FACTOR)
    return training_range_notices(model.model_config.clips, video_frames_of(latents), size, _advice(shapes, mask))


def without_notices(model: ModelPatcher) -> ModelPatcher:
    """Copy of a MODEL for a node that has said by itself what there is to say of its clips."""
    model = model.clone()
    model.model_options["transformer_options"][NOTICES_GIVEN] = True
    return model


def _advice(shapes: Sequence[tuple[int, ...]], mask: Tensor | None) -> LengthAdvice:
    """Which task a latent is for, by what of it is kept."""
    if mask is None or len(shapes) == 1:
        return SPEECH
    video, audio = comfy.utils.unpack_latents(mask, shapes)
    if not video.any():
        return DUBBING
    if not audio.any():
        return LIP_SYNC
    return CONTINUATION if bool((video[:, :, 1:] == 0).any()) else SPEECH
