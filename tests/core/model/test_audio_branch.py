"""The audio branch's own inputs: where each character of a transcript is expected."""

from dataclasses import replace

import pytest
import torch

from tests.toys import TINY, Clip, random_model


@pytest.mark.parametrize(("scale", "offset"), [(1.0, 0.0), (3.5, 12.0)])
def test_character_k_is_expected_at_mel_frame_scale_times_k_plus_offset(scale, offset):
    config = replace(TINY, text=replace(TINY.text, position_scale=scale, position_offset=offset))
    model, clip = random_model(config), Clip(config=config)
    expected = torch.arange(clip.conditions.speech_ids.shape[1])[None] * scale + offset

    def audio(positions):
        clip.conditions = replace(clip.conditions, speech_positions=positions)
        return clip.run(model).audio

    torch.testing.assert_close(audio(None), audio(expected))
    assert (audio(None) - audio(expected + 1)).abs().max() > 1e-6
