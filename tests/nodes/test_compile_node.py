"""ComfyUI's 'TorchCompileModel' on the whole network, with the backend that runs what was traced as it is."""

import pytest
import torch
from comfy_extras.nodes_torch_compile import TorchCompileModel

from tests.nodes.test_on_a_card import OPTIONS
from tests.nodes.test_tasks_parity import assert_ends_as_released


@pytest.fixture
def breaks():
    """Reasons why a graph was broken, and how often."""
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    yield torch._dynamo.utils.counters["graph_break"]
    torch._dynamo.reset()


def test_a_compiled_model_ends_where_the_release_ends_and_breaks_only_where_text_and_numbers_are_read(
    pack, golden_runs, golden_model, breaks
):
    model = golden_model.clone()  # with the attention that ComfyUI uses on cards; its own for CPUs asks for free memory
    model.model_options.setdefault("transformer_options", {}).update(OPTIONS)
    compiled = TorchCompileModel.execute(model, "eager").result[0]
    assert_ends_as_released(pack, golden_runs, compiled, "AVG")
    assert breaks
    assert all("torch.compiler.disable" in reason for reason in breaks)
