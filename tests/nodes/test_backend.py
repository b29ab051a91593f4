"""Layers that ComfyUI must fetch, unpack or patch for each run are told from those that may run part by part."""

import comfy.ops
import pytest
import torch
from comfy.quant_ops import QuantizedTensor

from uniavgen_core.checkpoint.gguf_quants import BlockKind
from uniavgen_core.checkpoint.gguf_quants import pack as packed


@pytest.fixture
def layer():
    return comfy.ops.manual_cast.Linear(32, 4)


HERE, ELSEWHERE = torch.empty(1), torch.empty(1, device="meta")


def test_weights_that_are_where_the_tokens_are_or_on_their_way_cost_nothing(pack, layer):
    repeatable = pack.nodes.host.model.comfy_backend.repeatable
    assert repeatable(layer, HERE)
    assert not repeatable(layer, ELSEWHERE)
    layer._prefetch = {}
    assert repeatable(layer, ELSEWHERE)


def test_weights_that_are_patched_on_the_way_cost_each_time(pack, layer):
    repeatable = pack.nodes.host.model.comfy_backend.repeatable
    layer.weight_lowvram_function = lambda weight: weight
    assert not repeatable(layer, HERE)
    layer.weight_lowvram_function = None
    assert repeatable(layer, HERE)
    layer.weight_function = [lambda weight: weight]
    assert not repeatable(layer, HERE)


def test_weights_in_blocks_are_unpacked_each_time(pack, layer):
    gguf = pack.nodes.host.model.gguf_layout
    params = gguf.GgufLayout.Params(scale=None, orig_dtype=torch.float32, orig_shape=(4, 32), kind=BlockKind.Q8_0.name)
    weight = QuantizedTensor(packed(torch.randn(4, 32), BlockKind.Q8_0), gguf.LAYOUT, params)
    layer.weight = torch.nn.Parameter(weight, requires_grad=False)
    assert not pack.nodes.host.model.comfy_backend.repeatable(layer, HERE)
