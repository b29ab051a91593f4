"""Sizes of the bundled model, with characters placed where toons speak them."""

from dataclasses import replace

from uniavgen_core.config import TOON

from .clips.speech import TEXT_POSITION_OFFSET, TEXT_POSITION_SCALE

MODEL = replace(TOON, text=replace(TOON.text, position_offset=TEXT_POSITION_OFFSET, position_scale=TEXT_POSITION_SCALE))
