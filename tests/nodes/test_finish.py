"""The template *Finish a Video* in a real server, with seeded weights in the layout of the files that it names.

The networks are those of the files; the upscaler has little width.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from comfy_extras.frame_interpolation_models.film_net import FILMNet
from safetensors.torch import save_file
from spandrel.architectures.ESRGAN import ESRGAN

from tools.contact_sheet import read_clip
from tools.finish_graph import FINISH_FILES
from tools.workflow import set_input
from uniavgen_core.bundled.bundled_files import ASSETS

WORKFLOW = Path(__file__).parents[2] / "workflows" / "api" / "finish.json"


def write_files(models, interpolation=FILMNet):
    """Put the files into a folder of models, one of them for an interpolation network; returns their paths."""
    paths = [models / file["directory"] / file["name"] for file in FINISH_FILES.values()]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        networks = interpolation(), ESRGAN(num_filters=4, num_blocks=1)
    for network, path in zip(networks, paths, strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({name: value.contiguous() for name, value in network.state_dict().items()}, path)
    return paths


@pytest.fixture
def files(server):
    """ComfyUI's model folders with the files in them."""
    paths = write_files(server.folder / "models")
    yield
    for path in paths:
        path.unlink()


def test_a_finished_clip_has_three_times_the_frames_and_its_audio_sample_for_sample(server, files, tmp_path):  # noqa: ARG001
    times, count = 3, 7  # twice the frames of a whole clip, as in the template, are seen in ``test_installed_package``
    original = read_clip(ASSETS / "clips" / "toon_5.mp4")
    workflow = set_input(json.loads(WORKFLOW.read_text()), "Multiplier", "value", times)
    (components,) = [name for name, node in workflow.items() if node["class_type"] == "GetVideoComponents"]
    few = {"image": [components, 0], "batch_index": 0, "length": count}
    workflow = set_input(workflow, "Upscale", "image", ["few", 0])
    workflow["few"] = {"class_type": "ImageFromBatch", "inputs": few}
    workflow = set_input(workflow, "Resize", "scale_by", 0.125)  # of four times: half the clip's size
    (video,) = [file for file in server.run(workflow).files() if file["filename"].endswith(".mp4")]
    clip = read_clip(server.download(video, tmp_path / "clip.mp4"))
    assert clip.fps == 16 * times
    assert len(clip.frames) == count * times
    assert clip.frames.shape[1:] == (64, 64, 3)
    assert np.abs(clip.frames[-1].astype(int) - clip.frames[-times]).mean() < 2  # the last frame is held
    assert clip.sound == pytest.approx(original.sound, abs=2**-15)
