"""One pass of the network, against the inference release's outputs and hidden states."""

import torch

from tests.parity.fixtures import ForwardCase, Golden, beyond, network, opened, relative_error
from tests.parity.passes import forward_errors
from uniavgen_core.model.alignment import context_groups

BFLOAT16 = 2e-2


def errors_of(folder, stem, name, device):
    return forward_errors(opened(folder, stem, None, device), network(folder, stem, None, device), name)


def test_a_float32_pass_gives_the_releases_outputs_masks_and_hidden_states(golden, f32_case, device, float32):
    errors = errors_of(golden, "forward_f32", f32_case, device)
    assert {"video", "audio"} <= set(errors)
    assert beyond(errors, float32) == {}


def test_a_bfloat16_pass_gives_the_releases_outputs_up_to_rounding(golden, bf16_case, device):
    assert beyond(errors_of(golden, "forward_bf16", bf16_case, device), BFLOAT16) == {}


@torch.no_grad()
def test_a_pass_runs_where_its_golden_is(golden, f32_case):
    stored = Golden(golden, "forward_f32", device="meta")  # where tensors of another device are refused
    output = ForwardCase(stored, f32_case).run(stored.model())
    assert {output.video.device.type, output.audio.device.type} == {"meta"}


def test_every_stored_tensor_of_a_pass_belongs_to_a_case(golden):
    for stem in ("forward_f32", "forward_bf16"):
        if (golden / f"{stem}.safetensors").is_file():
            stored = opened(golden, stem)
            assert {name.split("/")[0] for name in stored.data} == set(stored.info["cases"])


def test_indices_in_float32_take_the_bfloat16_audio_away_from_the_release(golden, bf16_case):
    """The index arithmetic alone moves the sound; with the release's own rounding it comes back."""
    stored = opened(golden, "forward_bf16")
    case = ForwardCase(stored, bf16_case, torch.bfloat16)
    sizes = case.audio.shape[1], case.video.shape[2]
    exact = stored.model(torch.bfloat16)
    tables = [context_groups(*sizes, model.config.variant) for model in (exact, network(golden, "forward_bf16"))]
    errors = [
        relative_error(case.run(model).audio[0].float(), stored.data[f"{bf16_case}/audio"])
        for model in (exact, network(golden, "forward_bf16"))
    ]
    if case.conditions.interaction.video_to_audio and tables[0] != tables[1]:
        assert errors[0] > 1.5 * errors[1]
    else:
        assert errors[0] == errors[1]
