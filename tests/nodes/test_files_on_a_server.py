"""Damaged and hostile files in the model folders of a real ComfyUI."""

import os
import pickle

import pytest
import torch

from tests.nodes.graphs import Graph
from tests.shards import shard_name
from tools.comfy_client import PromptFailedError
from uniavgen_core.bundled.bundled_files import BUNDLED_MODEL

NODES = ("UniAVGenLoadModel", "UniAVGenLoadTextEncoder", "UniAVGenLoadVideoVAE", "UniAVGenLoadAudioVAE")


class RunsCode:
    def __reduce__(self):
        return (os.system, ("true",))


@pytest.fixture
def place(server):
    """Put files into the server's model folders; they are removed afterwards."""
    placed = []

    def put(name):
        path = server.folder / "models" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        placed.append(path)
        return path

    yield put
    for path in placed:
        path.unlink()


def test_a_broken_link_and_a_pipe_leave_every_loader_its_choices(server, place):
    place(f"diffusion_models/half/{shard_name(1)}").symlink_to(BUNDLED_MODEL)
    place(f"diffusion_models/half/{shard_name(2)}").symlink_to("/nowhere/to/be/found")
    os.mkfifo(place(f"diffusion_models/half/{shard_name(3)}"))
    place("vocoders/mine/config.yaml").symlink_to("/nowhere/to/be/found")
    for node in NODES:
        assert node in server.object_info(node)


def test_a_pickle_that_would_run_code_is_refused_and_the_log_does_not_advise_to_run_it(server, place):
    place("diffusion_models/odd.pth").write_bytes(pickle.dumps({"a": RunsCode()}))
    torch.save({"a": RunsCode()}, place("vae/odd.pth"))
    for node, inputs in (
        ("UniAVGenLoadModel", {"model_name": "odd.pth"}),
        ("UniAVGenLoadVideoVAE", {"video_vae": "odd.pth"}),
    ):
        with pytest.raises(PromptFailedError, match=r"odd\.pth asks to run code"):
            server.run(Graph().set(node, **inputs).nodes)
    assert "weights_only=False" not in server.log
    assert "asks to run code" in server.log
