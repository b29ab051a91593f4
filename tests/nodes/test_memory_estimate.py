"""What ComfyUI keeps free for a pass covers it, and not much more: the rest of a card is for weights."""

from types import SimpleNamespace

import comfy.model_base
import pytest
import torch

from benchmarks.memory import FORMATS, SIZES, traced, usage_factor
from uniavgen_core.shapes import AVShape

KEPT_ANYWAY = 0.8 * 2**30


@pytest.mark.parametrize("size", SIZES)
def test_comfyuis_estimate_covers_a_pass_in_every_format(pack, size):
    factor, shape = pack.nodes.host.model.UniAVGenConfig.memory_usage_factor, AVShape(*size, 81)
    needed = max(traced(*size, kind) for kind in FORMATS)
    assert needed <= max(KEPT_ANYWAY, needed * factor / usage_factor(shape, needed))
    assert factor <= 1.25 * usage_factor(shape, needed)


def required(config, shape):
    """What ComfyUI keeps free for a latent of this shape."""
    model = SimpleNamespace(
        memory_usage_factor=config.memory_usage_factor,
        memory_usage_factor_conds=(),
        get_dtype_inference=lambda: torch.bfloat16,
    )
    return comfy.model_base.BaseModel.memory_required(model, shape)


def test_a_picture_alone_is_given_what_it_takes_in_a_joint_latent(pack):
    host, latents = pack.nodes.host, AVShape(480, 480, 81).video
    alone = required(host.branches.VideoAloneConfig, latents)
    packed = required(host.model.UniAVGenConfig, (1, 1, torch.Size(latents).numel()))
    assert alone == pytest.approx(packed)
