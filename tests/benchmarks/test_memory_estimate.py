"""What ComfyUI keeps free for a pass covers it, and not much more: the rest of a card is for weights."""

import pytest

from benchmarks.memory import FORMATS, SIZES, traced, usage_factor
from uniavgen_core.shapes import AVShape

KEPT_ANYWAY = 0.8 * 2**30


@pytest.mark.parametrize("size", SIZES)
def test_comfyuis_estimate_covers_a_pass_in_every_format(pack, size):
    factor, shape = pack.nodes.host.model.joint_model.UniAVGenConfig.memory_usage_factor, AVShape(*size, 81)
    needed = max(traced(*size, kind) for kind in FORMATS)
    assert needed <= max(KEPT_ANYWAY, needed * factor / usage_factor(shape, needed))
    assert factor <= 1.25 * usage_factor(shape, needed)
