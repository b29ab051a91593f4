"""Whole sampling runs, against the inference release's."""

import pytest
import torch

from tests.parity.fixtures import beyond, network, opened
from tests.parity.passes import sampling_errors

# Bfloat16 rounding grows over the steps; the release's own bfloat16 run is 8e-2 away from its float32 run.
BFLOAT16 = 2e-2


@pytest.fixture
def run(golden, device):
    def run_task(precision, task):
        stem = f"sampling_{'f32' if precision == 'float32' else 'bf16'}"
        stored, model = (find(golden, stem, "sampling", device) for find in (opened, network))
        return sampling_errors(stored, model, precision, task)

    return run_task


def check_calls(case, calls):
    """Every pass has the release's switches; its time up to float32 rounding."""
    assert len(calls) == len(case.calls)
    for call, recorded in zip(calls, case.calls, strict=True):
        assert call.timestep == pytest.approx(recorded.timestep, rel=1e-6)
        call.timestep = recorded.timestep
        assert call == recorded


def test_a_float32_run_passes_through_the_releases_states_to_its_result(run, f32_task, float32):
    errors, case, calls = run("float32", f32_task)
    check_calls(case, calls)
    assert {"final_raw.video", "final_raw.audio"} <= set(errors)
    assert beyond(errors, float32) == {}


def test_a_bfloat16_run_stays_with_the_releases_up_to_rounding(run, bf16_task):
    errors, case, calls = run("bfloat16", bf16_task)
    check_calls(case, calls)
    assert beyond(errors, BFLOAT16) == {}


def test_noise_is_the_recorded_noise(golden):
    stored = opened(golden, "sampling_f32", "sampling")
    for key in ("noise_video", "noise_audio"):
        if key in stored.data:
            seeded = stored.seeded(f"input.{key}", stored.data[key].shape)
            torch.testing.assert_close(seeded, stored.data[key], atol=1e-6, rtol=0)
