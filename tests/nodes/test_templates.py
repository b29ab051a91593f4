"""The templates run in a real server. That graph and API workflow are the same is seen in ``test_browser``."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.nodes.test_released_templates import calls_told, counted
from tools.contact_sheet import read_clip
from tools.template_graphs import TEMPLATES as GRAPHS
from tools.templates_with_files import WITH_FILES
from uniavgen_core.diffusion.sampling_presets import TOON, TOON_REGIONS
from uniavgen_core.tasks import RELIP

WORKFLOWS = Path(__file__).parents[2] / "workflows"
TEMPLATES = sorted(WORKFLOWS.glob("*.json"))
SEGMENTS = {"long_video": 3, "long_audio_driven": 3, "long_dubbing": 2}
"""Segments that are sampled, of the templates that have several; one in which nothing is said is not."""
TAKES = {"best_take": 4, "retake": 2}
SAMPLERS = {
    **dict.fromkeys(SEGMENTS, "Long video"),
    "best_take": "Best take",
    "retake": "Retake",
    "build_your_own": "Guidance",
}
"""Titles of the nodes that sample, where it is not the sampler."""
WIDGETS = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", "COMFY_DYNAMICCOMBO_V3"}


def api_of(path):
    return json.loads((WORKFLOWS / "api" / path.name).read_text())


@pytest.mark.parametrize("path", [p for p in TEMPLATES if p.stem not in WITH_FILES], ids=lambda path: path.stem)
def test_a_template_makes_a_video_with_sound(server, path, tmp_path):
    is_long = path.stem in SEGMENTS
    workflow = counted(api_of(path), SAMPLERS.get(path.stem, "Sample video and audio"), ["1", 0])
    shown, before = [], len(server.log)
    result = server.run(workflow, lambda kind, data: shown.append(data) if kind == "preview" else None)
    assert calls_told(server, before) == [steps_of(path.stem)] * (SEGMENTS | TAKES).get(path.stem, 1)
    if is_long:  # ComfyUI shows this text on the node
        labels = [b"Segment %d of " % (number + 1) for number in range(SEGMENTS[path.stem])]
        assert all(any(label in text for text in shown) for label in labels)
    (video,) = [file for file in result.files() if file["filename"].endswith(".mp4")]
    clip = read_clip(server.download(video, tmp_path / "clip.mp4"))
    assert clip.fps == 16
    assert clip.frames.shape[1:3] == (128, 256 if path.stem == "two_speakers" else 128)
    assert clip.seconds >= 2
    assert np.ptp(clip.frames) > 60
    assert np.abs(clip.sound).max() > 0.01
    assert len(clip.sound) / clip.sample_rate == pytest.approx(clip.seconds, abs=0.1)


def steps_of(name):
    """Steps that suit a template: some where what is kept is blended into each, else those of the bundled model."""
    return (TOON_REGIONS if name == RELIP.name else TOON).steps


def test_templates_and_api_workflows_come_in_pairs():
    assert {path.name for path in TEMPLATES} == {path.name for path in (WORKFLOWS / "api").glob("*.json")}
    assert {path.stem for path in TEMPLATES} == set(GRAPHS) | set(WITH_FILES)


@pytest.mark.parametrize("name", GRAPHS)
def test_a_template_is_sampled_as_suits_the_model_that_is_loaded(name):
    nodes = [node["inputs"] for node in api_of(WORKFLOWS / f"{name}.json").values()]
    presets = [inputs["preset"] for inputs in nodes if "preset" in inputs]
    assert presets == ([] if name == "build_your_own" else ["auto"])


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_a_template_has_a_thumbnail(path):
    assert path.with_suffix(".jpg").stat().st_size > 1000


def inputs_of(definition):
    """Name and entry of every input of a node, those of a dynamic choice's options included."""
    for group in ("required", "optional"):
        for name, entry in definition["input"].get(group, {}).items():
            yield name, entry
            for option in (*entry, {})[1].get("options", []) if entry[0] == "COMFY_DYNAMICCOMBO_V3" else ():
                yield from inputs_of({"input": option["inputs"]})


def test_every_input_of_our_nodes_says_what_it_is_for(server):
    for node, definition in server.object_info().items():
        if node.startswith("UniAVGen"):
            for name, entry in inputs_of(definition):
                kind, options = (*entry, {})[:2]
                if isinstance(kind, list) or kind in WIDGETS:
                    assert options.get("tooltip") or options.get("control_after_generate"), (node, name)
            assert definition["description"]
