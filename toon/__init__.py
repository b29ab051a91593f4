"""The bundled model: talking toons to train and test on, its training recipe and its evaluation.

The training commands of ``uniavgen_core`` find the names below by this package's name: ``toon:100`` is 100 toons, and
the model ``toon`` has the bundled model's sizes.
"""

from dataclasses import replace

from uniavgen_core.config import TOON
from uniavgen_core.training.data.clip_form import ClipForm
from uniavgen_core.training.data.clip_record import ClipSource

from .clips.speech import (
    LIVELY_POSITION_MARGIN,
    LIVELY_POSITION_OFFSET,
    LIVELY_POSITION_SCALE,
    TEXT_POSITION_OFFSET,
    TEXT_POSITION_SCALE,
)

CLIP_FORM = ClipForm((128, 128))
MODEL = replace(TOON, text=replace(TOON.text, position_offset=TEXT_POSITION_OFFSET, position_scale=TEXT_POSITION_SCALE))
"""Sizes of the bundled model, with characters placed where toons speak them."""

LAYERS = range(MODEL.num_layers)
"""Layers that null passes may leave out."""

LIVELY_MODEL = replace(
    TOON,
    text=replace(
        TOON.text, position_offset=LIVELY_POSITION_OFFSET, position_scale=LIVELY_POSITION_SCALE,
        position_margin=LIVELY_POSITION_MARGIN,
    ),
)  # fmt: skip
"""The same for toons whose onset and tempo are left to chance, with characters placed where they are on average."""

__all__ = ["CLIP_FORM", "LAYERS", "LIVELY_MODEL", "MODEL", "open_clips"]


def open_clips(text: str) -> ClipSource:
    """Toons from ``COUNT`` or ``COUNT:FIRST_SEED``; see ``open_toons``."""
    from .training.clip_source import open_toons

    return open_toons(text)
