"""ComfyUI's 'TorchCompileModel' on the whole network, with the backend that runs what was traced as it is."""

import pytest
import torch
from comfy.ldm.modules.attention import attention_pytorch
from comfy_extras.nodes_torch_compile import TorchCompileModel

from tests.nodes.test_tasks_parity import SAME, sampled_by_comfyui
from tests.parity.fixtures import SamplingCase, relative_error


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
    options = model.model_options.setdefault("transformer_options", {})
    options["optimized_attention_override"] = lambda _, *args, **kwargs: attention_pytorch(*args, **kwargs)
    compiled = TorchCompileModel.execute(model, "eager").result[0]
    case = SamplingCase(golden_runs, "float32", "AVG")
    video, audio = sampled_by_comfyui(pack, golden_runs, compiled, case)
    want = golden_runs.under("AVG/")
    generated = ~case.kept.video_mask[0]
    assert relative_error(video[:, generated], want["final_raw.video"][:, generated]) < SAME
    assert relative_error(audio[0], want["final_raw.audio"]) < SAME
    assert breaks
    assert all("torch.compiler.disable" in reason for reason in breaks)
