"""The presets that follow the flow in fewer steps are rows of the study that their figures come from."""

import json
from pathlib import Path

import pytest

from uniavgen_core.diffusion.sampling_presets import PRESETS

STUDY = Path(__file__).parents[3] / "docs" / "few_steps" / "steps.json"


@pytest.mark.parametrize("name", [name for name, preset in PRESETS.items() if preset.guidance is None])
def test_a_preset_stays_below_half_the_error_of_as_many_steps_of_the_release(name):
    preset = PRESETS[name]
    errors = {
        (row["sampler"], row["schedule"]): (row["video"], row["audio"])
        for row in json.loads(STUDY.read_text(encoding="utf-8"))["samplers"]
        if row["steps"] == preset.steps
    }
    ours, release = errors[preset.sampler, preset.schedule.value], errors["euler", "shift 5"]
    assert all(our < half / 2 for our, half in zip(ours, release, strict=True))
    assert preset.shift == 5
