"""Editing of workflows in API format by the titles of nodes, never by their ids."""

import copy
import json
from pathlib import Path
from typing import Any

from .console import DevError

Workflow = dict[str, dict[str, Any]]  # node id -> {"class_type", "inputs", "_meta"}


def read_workflow(path: Path) -> Workflow:
    """Read a workflow in API format.

    Raises:
        DevError: It does not exist, or is a graph in the editor's format.
    """
    if not path.is_file():
        raise DevError(f"There is no workflow {path}. Restore it with: git checkout -- {path.name}")
    workflow = json.loads(path.read_text(encoding="utf-8"))
    if "nodes" in workflow:
        raise DevError(f"{path} is an editor's graph; a workflow in API format is needed (File, Export (API)).")
    return workflow


def set_value(workflow: Workflow, name: str, value: Any) -> Workflow:
    """Copy a workflow with one value changed, on every node that has a widget of this name.

    Raises:
        DevError: No node has.
    """
    changed = copy.deepcopy(workflow)
    places = _with_widget(changed, name)
    if not places:
        raise DevError(f"The workflow has no widget {name} for {value!r}. Leave that option away.")
    for inputs in places:
        inputs[name] = value
    return changed


def set_input(workflow: Workflow, title: str, name: str, value: Any) -> Workflow:
    """Copy a workflow with one input set, whether or not it existed, of the node with this title in any case.

    Raises:
        DevError: There is no such node.
    """
    changed = copy.deepcopy(workflow)
    changed[_number_of(changed, title)]["inputs"][name] = value
    return changed


def replace_node(workflow: Workflow, title: str, class_type: str, inputs: dict[str, Any], output: int = 0) -> Workflow:
    """Copy a workflow with the node of a title replaced by one of another class.

    ``output`` is the output of the old node that the first output of the new one replaces.

    Raises:
        DevError: There is no such node, or another of its outputs is used too.
    """
    changed = copy.deepcopy(workflow)
    number = _number_of(changed, title)
    for reader, name, used in _readers(changed, number):
        if used != output:
            raise DevError(f"Output {used} of the node {title} goes into {reader['class_type']}, and is not replaced.")
        reader["inputs"][name] = [number, 0]
    changed[number]["class_type"], changed[number]["inputs"] = class_type, inputs
    return changed


def add_node(
    workflow: Workflow, title: str, class_type: str, inputs: dict[str, Any], into: tuple[str, str]
) -> Workflow:
    """Copy a workflow with an additional node, whose first output is linked to ``into``: title and input of a node."""
    number = str(1 + max(map(int, workflow)))
    changed = set_input(workflow, *into, [number, 0])
    changed[number] = {"class_type": class_type, "inputs": inputs, "_meta": {"title": title}}
    return changed


def bypass_node(workflow: Workflow, title: str, name: str) -> Workflow:
    """Copy a workflow without a node: users of its first output are linked to the source of its input ``name``."""
    changed = copy.deepcopy(workflow)
    number = _number_of(changed, title)
    for reader, used_by, _ in _readers(changed, number):
        reader["inputs"][used_by] = changed[number]["inputs"][name]
    del changed[number]
    return changed


def has_node(workflow: Workflow, title: str) -> bool:
    """True if there is a node with a title."""
    return any(_has_title(node, title) for node in workflow.values())


def value_of(workflow: Workflow, name: str) -> Any:
    """Value of the first widget of a name; None if there is none."""
    return next((inputs[name] for inputs in _with_widget(workflow, name)), None)


def _with_widget(workflow: Workflow, name: str) -> list[dict[str, Any]]:
    """Inputs of every node with a widget of a name; an input linked to another node has no widget."""
    found = [node["inputs"] for node in workflow.values() if name in node["inputs"]]
    return [inputs for inputs in found if not isinstance(inputs[name], list)]


def _number_of(workflow: Workflow, title: str) -> str:
    """Id of the node with a title."""
    for number, node in workflow.items():
        if _has_title(node, title):
            return number
    raise DevError(f"The workflow has no node with the title {title}. Give that node this title again.")


def _readers(workflow: Workflow, number: str) -> list[tuple[dict[str, Any], str, int]]:
    """Every (node, input, output) at which an output of a node is linked to another node's input."""
    return [
        (node, name, value[1])
        for node in workflow.values()
        for name, value in node["inputs"].items()
        if isinstance(value, list) and value[:1] == [number]
    ]


def _has_title(node: dict[str, Any], title: str) -> bool:
    return node.get("_meta", {}).get("title", "").lower() == title.lower()
