"""The templates: the editor's graph and the API workflow beside it are the same, and the nodes accept both."""

import json
from pathlib import Path

import pytest

WORKFLOWS = Path(__file__).parents[2] / "workflows"
TEMPLATES = sorted(WORKFLOWS.glob("*.json"))
WIDGETS = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", "COMFY_DYNAMICCOMBO_V3"}


def widget_names(definition):
    """Names of a node's widgets in the order the editor stores their values; the seed's has a second value."""
    names = []
    for name in definition["input_order"].get("required", []) + definition["input_order"].get("optional", []):
        kind, options = (
            *(definition["input"].get("required", {}) | definition["input"].get("optional", {}))[name],
            {},
        )[:2]
        if isinstance(kind, list) or kind in WIDGETS:
            names.append(name)
            names += [None] if options.get("control_after_generate") else []
    return names


def to_api(graph, definitions):
    """The API workflow of an editor's graph."""
    links = {number: [str(source), slot] for number, source, slot, *_ in graph["links"]}
    prompt = {}
    for node in graph["nodes"]:
        names = widget_names(definitions[node["type"]])
        assert len(names) == len(node["widgets_values"]), node["type"]
        values = {name: value for name, value in zip(names, node["widgets_values"], strict=True) if name}
        linked = {entry["name"]: links[entry["link"]] for entry in node["inputs"] if entry["link"] is not None}
        prompt[str(node["id"])] = {
            "class_type": node["type"],
            "inputs": values | linked,
            "_meta": {"title": node["title"]},
        }
    return prompt


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_the_graph_and_the_api_workflow_are_the_same(server, path):
    graph = json.loads(path.read_text())
    assert to_api(graph, server.object_info()) == json.loads((WORKFLOWS / "api" / path.name).read_text())


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_a_template_has_a_thumbnail(path):
    assert path.with_suffix(".jpg").stat().st_size > 1000


def test_every_input_of_our_nodes_says_what_it_is_for(server):
    for name, definition in server.object_info().items():
        if name.startswith("UniAVGen"):
            inputs = definition["input"].get("required", {}) | definition["input"].get("optional", {})
            for entry in inputs.values():
                kind, options = (*entry, {})[:2]
                if isinstance(kind, list) or kind in WIDGETS:
                    assert options.get("tooltip") or options.get("control_after_generate"), (name, entry)
            assert definition["description"]


def test_every_node_of_ours_has_a_help_page(server):
    for name in server.object_info():
        if name.startswith("UniAVGen"):
            page = server.request(f"/extensions/ComfyUI-UniAVGen/docs/{name}/en.md").decode()
            assert page.startswith("# UniAVGen"), name
