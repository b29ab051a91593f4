"""The bundled model makes the toon speak that is chosen, more than the one beside it.

Four clips say only so much: a single one's correlation strays by 0.4. The measured means stand in the model card.
"""

from pathlib import Path

import numpy as np
import pytest
import torch

from toon.evaluation.cases import cases_of
from toon.evaluation.generate_cases import decode, generate
from uniavgen_core.bundled.bundled_files import CODEC_FILE, MODEL_FILE, load_codec
from uniavgen_core.checkpoint.load_weights import load_model
from uniavgen_core.diffusion.sampling_presets import TOON_GUIDANCE, TOON_STEPS
from uniavgen_core.evaluation.lip_sync import correlation, mouth_opening, sound_envelope
from uniavgen_core.pipeline import SampleConfig

ASSETS = Path(__file__).parents[2] / "uniavgen_core" / "assets"


@pytest.fixture(scope="module")
def fits():
    """Correlation of the chosen and the other mouth with the sound, of held-out pairs, left and right in turn."""
    cases = cases_of("pair", 4)
    model, codec = load_model(ASSETS / MODEL_FILE, dtype=torch.float32), load_codec(ASSETS / CODEC_FILE)
    made = decode(codec, *generate(model, codec, cases, SampleConfig(TOON_STEPS, guidance=TOON_GUIDANCE)))
    return np.array([
        [correlation(mouth_opening(clip.frames, *mouth), sound) for mouth in case.mouths]
        for clip, case in zip(made, cases, strict=True)
        for sound in [sound_envelope(clip.log_mel.numpy(), 33)]
    ])  # fmt: skip


def test_the_chosen_mouth_follows_the_sound_on_either_side(fits):
    assert fits[::2, 0].mean() > 0.5
    assert fits[1::2, 0].mean() > 0.5


def test_the_other_mouth_follows_it_much_less(fits):
    chosen, other = fits.mean(0)
    assert other < chosen - 0.4
    assert other < 0.3
