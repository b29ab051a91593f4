"""ComfyUI's 'MultiGPU CFG Split' gives each device one of the two passes, and the result stays the release's.

Two names of the one CPU stand for two devices; ComfyUI then loads the model twice and runs the passes in two threads.
"""

import comfy.model_management
import pytest
import torch
from comfy.patcher_extension import WrappersMP
from comfy_extras.nodes_multigpu import MultiGPUCFGSplitNode

from tests.nodes.test_tasks_parity import assert_ends_as_released

DEVICES = [torch.device("cpu"), torch.device("cpu", 0)]


@pytest.fixture
def split(monkeypatch, golden_model):
    """The golden network split over two devices, and the list of networks that ran."""
    monkeypatch.setattr(comfy.model_management, "get_all_torch_devices", lambda **_: list(DEVICES))
    ran = []

    def record(executor, *args, **kwargs):
        ran.append(id(executor.class_obj))
        return executor(*args, **kwargs)

    model = golden_model.clone()
    model.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, "test", record)
    return MultiGPUCFGSplitNode.execute(model, 2).result[0], ran


@pytest.mark.parametrize("task", ["AVG", "RAVG"])
def test_two_devices_share_the_passes_and_end_where_the_release_ends(pack, golden_runs, split, task):
    model, ran = split
    steps = assert_ends_as_released(pack, golden_runs, model, task)
    assert sorted(ran.count(network) for network in set(ran)) == [steps, steps]
