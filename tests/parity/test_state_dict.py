"""Names and shapes of the released checkpoint, and the seeds all other numbers start from."""

import math
import os
import subprocess
import sys
from pathlib import Path

import torch

from tests.parity.fixtures import opened, read_json, seeded_tensor
from uniavgen_core.checkpoint.config_from_weights import config_from_shapes
from uniavgen_core.config import RELEASED
from uniavgen_core.model.joint import JointModel


def meta_shapes(config):
    with torch.device("meta"):
        return {name: list(tensor.shape) for name, tensor in JointModel(config).state_dict().items()}


def test_the_released_size_has_exactly_the_released_tensors(golden):
    released = read_json(golden / "state_dict_full.json")
    shapes = meta_shapes(RELEASED)
    assert shapes == released["shapes"]
    assert len(shapes) == released["tensors"]
    assert sum(map(math.prod, shapes.values())) == released["total"]
    for group, total in released["groups"].items():
        assert sum(math.prod(shape) for name, shape in shapes.items() if name.split(".")[0] == group) == total, group


def test_the_released_size_is_read_from_the_released_shapes(golden):
    assert config_from_shapes(read_json(golden / "state_dict_full.json")["shapes"]) == RELEASED


def test_the_small_network_has_exactly_its_recorded_tensors(golden):
    stored = opened(golden, "forward_f32")
    assert meta_shapes(stored.config()) == stored.shapes


def test_a_seeded_tensor_comes_out_as_it_was_recorded(seed):
    got = seeded_tensor(seed["name"], seed["shape"], salt=seed["salt"]).flatten()[: len(seed["first4"])]
    torch.testing.assert_close(got, torch.tensor(seed["first4"]), atol=1e-6, rtol=0)


def test_asking_for_a_card_where_there_is_none_is_an_error():
    command = [sys.executable, "-m", "pytest", "--device", "cuda", __file__]
    environ = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        command, cwd=Path(__file__).parents[2], env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 4
    assert "there is none" in done.stderr
