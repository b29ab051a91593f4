"""Notices before sampling about clips whose length or size the model was not trained on, with remedies."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import comfy.utils
from comfy.model_patcher import ModelPatcher
from torch import Tensor

from ....uniavgen_core.checkpoint.trained_on import TrainedOn
from ....uniavgen_core.shapes import SPATIAL_FACTOR, video_frames_of
from ..sampling.joint_latent import VIDEO_DIMS, keeps_regions

NOTICES_GIVEN = "uniavgen_said"
"""Key in ``transformer_options`` of a MODEL whose node has already sent these notices."""


@dataclass(frozen=True)
class LengthAdvice:
    """Remedies for a clip longer than those of the training and for a shorter one, one sentence each."""

    longer: str
    shorter: str


SPEECH = LengthAdvice(
    "For a longer script, use 'UniAVGen Long Video', which speaks it in segments of the trained length.",
    "Make it that long, and cut the finished video.",
)
DUBBING = LengthAdvice(
    "For a longer video, use 'UniAVGen Long Video', which dubs it in segments of the trained length.",
    "Use more of the video.",
)
LIP_SYNC = LengthAdvice(
    "For longer audio, use 'UniAVGen Long Video', which lip-syncs to it in segments of the trained length.",
    "Add silence to the end of the audio, and cut the finished video.",
)
CONTINUATION = LengthAdvice(
    "Make keep_seconds and seconds that long together; for a longer script, use 'UniAVGen Long Video'.",
    "Make keep_seconds and seconds that long together.",
)
RELIP = LengthAdvice(
    "Cut the video into pieces of that length with 'Trim Video', and give them new lips one by one.",
    "Use more of the video.",
)
SEGMENTS = LengthAdvice(
    "Set segment_seconds to that length; the video then has more segments.",
    "Set segment_seconds to that length, and length to 'full segments'.",
)


def training_range_notices(
    trained_on: TrainedOn | None, frames: int, size: tuple[int, int], advice: LengthAdvice
) -> list[str]:
    """Notices about a clip that is unlike those of the training, if these are known.

    Args:
        trained_on: Clips that the model was trained on, or None.
        frames: Video frames that are sampled at once.
        size: Width and height, pixels.
        advice: Remedies for the length.
    """
    if trained_on is None:
        return []
    model = trained_on.model
    notices, trained = [], f"{model} was trained on clips of {trained_on.lengths_in_words}"
    if frames > trained_on.most_frames:
        notices.append(f"{trained}. Longer ones, such as this, turn out worse. {advice.longer}")
    if frames < trained_on.fewest_frames:
        notices.append(f"{trained}. Shorter ones, such as this, turn out worse. {advice.shorter}")
    if not trained_on.knows_size(*size):
        notices.append(
            f"{model} was trained on videos of {trained_on.sizes_in_words}. Other sizes, such as {size[0]}x{size[1]}, "
            "look worse. Choose a trained size, and scale the finished video."
        )
    return notices


def notices_before_sampling(guider: Any, shapes: Sequence[tuple[int, ...]], mask: Tensor | None) -> list[str]:
    """Notices about a latent that is about to be sampled, unless its node has already sent them.

    Args:
        guider: ComfyUI's guider.
        shapes: Shapes of the video and the audio latent.
        mask: Noise mask, packed like the latent, 1 where generated; None for none.
    """
    model, options = guider.model_patcher.model, guider.model_options
    if options.get("transformer_options", {}).get(NOTICES_GIVEN) or not model.has_video or len(shapes[0]) != VIDEO_DIMS:
        return []
    window = options.get("context_handler")  # with context windows, the model sees one window at a time
    latents = shapes[0][2] if window is None else min(shapes[0][2], window.context_length)
    size = (shapes[0][-1] * SPATIAL_FACTOR, shapes[0][-2] * SPATIAL_FACTOR)
    return training_range_notices(model.model_config.clips, video_frames_of(latents), size, _advice(shapes, mask))


def without_notices(model: ModelPatcher) -> ModelPatcher:
    """Copy of a MODEL whose sampling sends no notices about the clip, because its node has already done so."""
    model = model.clone()
    model.model_options["transformer_options"][NOTICES_GIVEN] = True
    return model


def _advice(shapes: Sequence[tuple[int, ...]], mask: Tensor | None) -> LengthAdvice:
    """Remedies for the task of a latent, which is recognised by the parts that are kept."""
    if mask is None or len(shapes) == 1:
        return SPEECH
    video, audio = comfy.utils.unpack_latents(mask, shapes)
    if not video.any():
        return DUBBING
    if keeps_regions(video).any():
        return RELIP
    if not audio.any():
        return LIP_SYNC
    return CONTINUATION if bool((video[:, :, 1:] == 0).any()) else SPEECH
