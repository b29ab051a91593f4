"""The computed least time of a step: bytes of operators by hand, and what the released network keeps."""

from dataclasses import replace

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from benchmarks import roofline
from benchmarks.peak import LAYERS, pass_peak, peak_of
from benchmarks.roofline import count, passes_of, with_kernels
from benchmarks.traffic import scaling
from uniavgen_core.config import RELEASED
from uniavgen_core.model.alignment import context_groups
from uniavgen_core.model.alignment_tables import build_geometry
from uniavgen_core.shapes import SIZE_MULTIPLE, AVShape
from uniavgen_core.training.memory_trace import COUNTED

X, Y, Z = (torch.zeros(6, 8) for _ in range(3))
NUMBERS = 48
CLIP = AVShape(1280, 736, 81)
WORK = {
    "three tensors of a sum": (lambda: X + Y, 3 * NUMBERS),
    "memory for a result, written": (lambda: torch.add(X, Y, out=Z), 3 * NUMBERS),
    "a tensor that takes the result, read and written": (lambda: X.mul_(Y), 3 * NUMBERS),
    "no view": (lambda: X.unflatten(0, (2, 3)).transpose(0, 1)[1:], 0),
    "no memory that is only taken": (lambda: torch.empty_like(X), 0),
    "one row that stands for all": (lambda: X + Y[:1].expand(6, 8), 2 * NUMBERS + 8),
    "a copy, read and written": (lambda: X.copy_(Y), 2 * NUMBERS),
    "rows that are picked, not all": (lambda: X[[0, 3]], 2 * 16),
    "what does not fit a product's result": (lambda: X @ Y.T, 2 * NUMBERS + 36),
}


@pytest.mark.parametrize(("work", "numbers"), WORK.values(), ids=WORK)
def test_counted_is(work, numbers):
    assert sum(count(work, 1, 1).moved.values()) == 4 * numbers


def test_an_operator_takes_the_longer_of_its_two_times():
    slow_memory, slow_products = count(lambda: X @ Y.T, 1, 1e-9), count(lambda: X @ Y.T, 1e-9, 1)
    assert sum(slow_memory.seconds.values()) == pytest.approx(4 * (2 * NUMBERS + 36) / 1e3)
    assert sum(slow_products.seconds.values()) == pytest.approx(2 * 6 * 8 * 6 / 1e3)


def test_attention_is_one_kernel_that_keeps_no_scores():
    q = torch.zeros(1, 100, 16, device="meta")
    counted = count(lambda: COUNTED.attention(q, q, q, 2), 1, 1)
    assert counted.flop["attention"] == 2 * 2 * 2 * 100 * 100 * 8
    assert counted.moved["attention"] < 5 * q.nbytes


@pytest.fixture(scope="module")
def released(comfyui):  # noqa: ARG001 - so that a missing ComfyUI is a clear failure
    return roofline.report(RELEASED, CLIP, 790, 4)


def unseen_tables(shape):
    """Bytes of index tables that are counted on a fake card only: on the meta device, making one is no operator."""

    def tables():
        grid = (shape.latent_frames, shape.height // SIZE_MULTIPLE, shape.width // SIZE_MULTIPLE)
        return build_geometry(RELEASED, grid, shape.mel_frames, torch.empty(1, dtype=torch.bfloat16))

    with torch.device("meta"):
        on_meta = peak_of(tables)
    with FakeTensorMode(), torch.device("cuda"):
        return peak_of(tables) - on_meta


def test_on_a_card_a_pass_takes_no_more_memory_than_is_counted_for_the_core(released, pack):
    del released, pack  # Both are loaded before tensors become fake.
    shape = AVShape(480, 480, 81)
    context_groups(shape.mel_frames, shape.latent_frames, RELEASED.variant)
    with FakeTensorMode(), torch.device("cuda"), torch.no_grad(), with_kernels():
        peak = peak_of(passes_of(replace(RELEASED, num_layers=LAYERS, num_interactions=2), shape)["cond"])
    counted = pass_peak(RELEASED, shape) + unseen_tables(shape)
    assert 0.9 * counted < peak <= counted


def test_a_step_takes_no_more_than_the_targets_on_a_card_that_reaches_its_speeds(released):
    assert released["step_over_video"] <= 1.12
    assert released["step_over_floor"] <= 1.12
    assert released["clip_seconds"] <= 48


def test_the_table_names_every_size_and_number_of_cards(released):
    rows = scaling(RELEASED, CLIP, lambda cards: 1 / cards, {"nvlink": 375, "pcie": 53})
    speeds = {"teraflop": 790, "terabyte": 4, "nvlink": 375, "pcie": 53}
    text = roofline.table(speeds | {"sizes": [released | {"cards": rows}]})
    assert "1280x736x81" in text
    assert f"{released['clip_seconds']:.3f}" in text
    assert [line.split()[0] for line in text.splitlines()[-4:]] == ["1", "2", "4", "8"]
    assert f"{rows[-1]['nvlink_speedup']:g}" in text.splitlines()[-1]


def test_cards_send_what_their_links_carry_in_the_time_that_is_added():
    one, *several = scaling(RELEASED, CLIP, lambda cards: 1 / cards, {"nvlink": 375, "pcie": 53})
    assert (one["layer_megabytes"], one["step_gigabytes"], one["nvlink_seconds"]) == (0, 0, 1)
    for row in several:
        assert row["nvlink_seconds"] == pytest.approx(1 / row["cards"] + row["step_gigabytes"] / 375, abs=1e-4)
        assert row["pcie_speedup"] == pytest.approx(1 / row["pcie_seconds"], rel=1e-3)
        assert 1 < row["pcie_speedup"] < row["nvlink_speedup"] < row["cards"]
        assert 59 * row["layer_megabytes"] < 1e3 * row["step_gigabytes"] < 62 * row["layer_megabytes"]


def test_a_card_of_several_computes_its_share_and_what_all_repeat(comfyui, pack):  # noqa: ARG001 - loaded before tensors are fake
    small = replace(RELEASED, num_layers=2, num_interactions=1)
    one, two = (roofline.seconds_on(small, AVShape(480, 480, 41), (790, 4), cards) for cards in (1, 2))
    assert 0.5 < two / one < 0.65
