"""The templates as files. ``test_installed_package`` runs them, ``test_browser`` compares graph and API workflow."""

import json
from pathlib import Path

import pytest

from tools.template_graphs import TEMPLATES as GRAPHS
from tools.templates_with_files import WITH_FILES

WORKFLOWS = Path(__file__).parents[2] / "workflows"
TEMPLATES = sorted(WORKFLOWS.glob("*.json"))
WIDGETS = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", "COMFY_DYNAMICCOMBO_V3"}


def api_of(path):
    return json.loads((WORKFLOWS / "api" / path.name).read_text())


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
