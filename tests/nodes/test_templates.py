"""The templates as files. ``test_installed_package`` runs them, ``test_browser`` compares graph and API workflow."""

import json

import pytest

from tools.released_graphs import RELEASED
from tools.template_graphs import TEMPLATES as GRAPHS
from tools.template_graphs import template
from tools.template_titles import TITLES, WORKFLOWS, api_file, graph_file
from tools.templates_with_files import WITH_FILES, template_with_files

WIDGETS = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", "COMFY_DYNAMICCOMBO_V3"}


def test_templates_and_api_workflows_come_in_pairs():
    assert list(TITLES) == [*GRAPHS, *WITH_FILES]
    assert {path.stem for path in (WORKFLOWS / "api").glob("*.json")} == set(TITLES)
    assert {path.stem for path in WORKFLOWS.glob("*.json")} == set(TITLES.values())


@pytest.mark.parametrize("name", TITLES)
def test_a_template_with_a_box_is_called_as_its_box(name):
    graph = template_with_files(name) if name in WITH_FILES else template(name)
    boxes = [] if name in RELEASED else [box.title for box in graph.boxes if not box.is_example]
    assert boxes in ([], [TITLES[name]])


@pytest.mark.parametrize("name", GRAPHS)
def test_a_template_is_sampled_as_suits_the_model_that_is_loaded(name):
    nodes = [node["inputs"] for node in json.loads(api_file(name).read_text()).values()]
    presets = [inputs["preset"] for inputs in nodes if "preset" in inputs]
    assert presets == ["auto"] * (2 if name == "build_your_own" else 1)


@pytest.mark.parametrize("name", TITLES)
def test_a_template_has_a_thumbnail(name):
    assert graph_file(name).with_suffix(".jpg").stat().st_size > 1000


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
