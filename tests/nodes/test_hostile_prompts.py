"""Prompts over the API with values that no widget has: refused before anything runs, and the server goes on."""

import copy
import json
import urllib.error
from pathlib import Path

import pytest

WORKFLOWS = Path(__file__).parents[2] / "workflows" / "api"
QUICK_START = json.loads((WORKFLOWS / "quick_start.json").read_text())


def floats_of(definition):
    """Name and options of every FLOAT widget, those of a dynamic choice's options included."""
    for group in ("required", "optional"):
        for name, entry in definition.get(group, {}).items():
            kind, options = (*entry, {})[:2]
            if kind == "FLOAT":
                yield name, options
            for option in options.get("options", []) if kind == "COMFY_DYNAMICCOMBO_V3" else ():
                yield from floats_of(option["inputs"])


def test_every_number_has_bounds_and_not_a_number_lies_outside(pack):
    found = []
    for node in pack.nodes.NODES:
        for name, options in floats_of(node.INPUT_TYPES()):
            found.append((node.__name__, name))
            low, high = options["min"], options["max"]
            assert float("nan") < low, (node, name)
            assert not low < low, (node, name)
            assert not options["default"] < low, (node, name)
            assert low - 1 < low < high, (node, name)
    assert len(found) > 20


def refusal(server, title, name, value):
    """What the server says of the quick start with another value of a widget."""
    workflow = copy.deepcopy(QUICK_START)
    (node,) = [node for node in workflow.values() if node["_meta"]["title"] == title]
    assert name in node["inputs"]
    node["inputs"][name] = value
    with pytest.raises(urllib.error.HTTPError) as refused:
        server.post("/prompt", {"prompt": workflow, "client_id": "test"})
    assert refused.value.code == 400
    return refused.value.read().decode()


@pytest.mark.parametrize(
    ("title", "name", "value", "words"),
    [
        ("Task", "task.seconds", float("nan"), "smaller than min"),
        ("Task", "task.seconds", float("inf"), "bigger than max"),
        ("Sample video and audio", "shift", float("nan"), "smaller than min"),
        ("Save", "fps", -1.0, "smaller than min"),
        ("Task", "task", "joint generation", "The value of 'task' is unknown. Choose one of: joint, "),
        ("Save", "filename_prefix", "a\0b", "no file name can have"),
        ("Save", "filename_prefix", [], "Bad linked input"),
        ("Save", "filename_prefix", "é" * 101, "202 bytes long"),
        ("Save", "filename_prefix", "../../clip", "leads out of ComfyUI's output folder"),
        ("Save", "filename_prefix", "/etc/clip", "leads out of ComfyUI's output folder"),
        ("Load the audio VAE", "vocoder", {}, "no vocoder folder"),
        ("Load the audio VAE", "vocoder", "nothing", "no vocoder folder"),
        ("Task", "size", "huge", "The value of 'size' is unknown. Choose one of: match_input, "),
    ],
)
def test_a_value_that_no_widget_has_is_refused_before_anything_runs(server, title, name, value, words):
    said = refusal(server, title, name, value)
    assert words in said
    assert "Exception when validating" not in said
