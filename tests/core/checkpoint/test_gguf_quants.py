"""GGUF's block formats, held against the gguf package."""

import gguf
import numpy as np
import pytest
import torch

from uniavgen_core.checkpoint.gguf_quants import BlockKind, pack, unpack

ERRORS = {BlockKind.Q8_0: 0.006, BlockKind.Q6_K: 0.025, BlockKind.Q5_K: 0.045, BlockKind.Q4_K: 0.09}
"""Most that normally distributed weights may move, relative."""


def reference(data, kind):
    return torch.from_numpy(gguf.quants.dequantize(data.numpy(), gguf.GGMLQuantizationType[kind.name]))


@pytest.mark.parametrize("kind", BlockKind)
def test_any_bytes_are_read_as_the_gguf_package_reads_them(kind):
    data = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (6, 4 * kind.value.size)).astype(np.uint8))
    for block in data.view(-1, kind.value.size):  # scales that are numbers
        places = {"Q8_0": [1], "Q6_K": [209], "Q5_K": [1, 3], "Q4_K": [1, 3]}[kind.name]
        block[places] = block[places] & 0x3B
    torch.testing.assert_close(unpack(data, kind), reference(data, kind), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", BlockKind)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_weights_of_a_narrow_dtype_are_rounded_once(kind, dtype):
    data = pack(torch.randn(8, 512, generator=torch.Generator().manual_seed(3)), kind)
    assert torch.equal(unpack(data, kind, dtype), unpack(data, kind).to(dtype))


@pytest.mark.parametrize("kind", BlockKind)
def test_packed_weights_come_back_within_the_formats_precision(kind):
    weights = torch.randn(40, 512, generator=torch.Generator().manual_seed(0)) * 0.02
    data = pack(weights, kind)
    assert data.shape == (40, 512 // kind.value.weights * kind.value.size)
    error = (reference(data, kind) - weights).norm() / weights.norm()
    assert ERRORS[kind] / 4 < error < ERRORS[kind]


def test_more_bits_lose_less():
    weights = torch.randn(8, 1024, generator=torch.Generator().manual_seed(1))
    errors = [(unpack(pack(weights, kind), kind) - weights).norm().item() for kind in BlockKind]
    assert errors == sorted(errors)


@pytest.mark.parametrize("kind", BlockKind)
@pytest.mark.parametrize("fill", ["zeros", "ones", "one spike", "positive"])
def test_unusual_weights_survive(kind, fill):
    weights = torch.zeros(2, 256)
    if fill == "ones":
        weights += 1
    elif fill == "one spike":
        weights[0, 70] = -3.0
    elif fill == "positive":
        weights += torch.linspace(1, 2, 256)
    back = unpack(pack(weights, kind), kind)
    assert torch.isfinite(back).all()
    assert (back - weights).abs().max() <= 0.1 * weights.abs().max()


def test_what_packs_to_bytes_packs_to_the_gguf_packages_bytes():
    weights = np.random.default_rng(2).standard_normal((4, 64)).astype(np.float32)
    want = gguf.quants.quantize(weights, gguf.GGMLQuantizationType.Q8_0)
    got = pack(torch.from_numpy(weights), BlockKind.Q8_0).numpy()
    assert (want.astype(int) - got.astype(int)).__abs__().max() <= 1


def test_rows_that_are_no_whole_blocks_are_refused():
    with pytest.raises(ValueError, match="80 columns are not a multiple of 256"):
        pack(torch.zeros(3, 80), BlockKind.Q4_K)
