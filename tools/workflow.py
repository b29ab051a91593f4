"""Changes a workflow in API format by what its nodes are called, never by their numbers."""

import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .console import DevError

Workflow = dict[str, dict[str, Any]]  # node id -> {"class_type", "inputs", "_meta"}


@dataclass(frozen=True)
class Slot:
    """Where an option goes.

    Attributes:
        inputs: Names of the input, most likely first.
        title: The node's title in the editor, in any case; None for a node of any title.
    """

    inputs: tuple[str, ...]
    title: str | None = None


def read_workflow(path: Path) -> Workflow:
    """Read a workflow in API format.

    Raises:
        DevError: It is not there, or is a graph as the editor saves it.
    """
    if not path.is_file():
        raise DevError(f"There is no workflow {path}. Restore it with: git checkout -- {path.name}")
    workflow = json.loads(path.read_text(encoding="utf-8"))
    if "nodes" in workflow:
        raise DevError(f"{path} is an editor's graph; a workflow in API format is needed (File, Export (API)).")
    return workflow


def set_value(workflow: Workflow, slots: Sequence[Slot], value: Any) -> Workflow:
    """Copy a workflow with one value changed wherever the first fitting slot says.

    Args:
        workflow: In API format; stays as it is.
        slots: Tried in order; the first that fits any node is used, on all nodes it fits.
        value: The new value.

    Raises:
        DevError: No slot fits.
    """
    changed = copy.deepcopy(workflow)
    for slot in slots:
        places = list(_places(changed, slot))
        for inputs, name in places:
            inputs[name] = value
        if places:
            return changed
    wanted = " or ".join(f"{'/'.join(slot.inputs)} ({slot.title or 'any node'})" for slot in slots)
    raise DevError(f"The workflow has no widget for {value!r}; looked for {wanted}. Leave that option away.")


def set_input(workflow: Workflow, title: str, name: str, value: Any) -> Workflow:
    """Copy a workflow with one input of the node with a title set, whether or not it was there.

    Raises:
        DevError: There is no such node.
    """
    changed = copy.deepcopy(workflow)
    changed[_number_of(changed, title)]["inputs"][name] = value
    return changed


def replace_node(workflow: Workflow, title: str, class_type: str, inputs: dict[str, Any], output: int = 0) -> Workflow:
    """Copy a workflow with another node in the place of the one with a title.

    Args:
        workflow: In API format; stays as it is.
        title: Title of the node that goes; the new one has it too.
        class_type: Class of the new node.
        inputs: Its inputs.
        output: The old node's output that the new node's first one stands for.

    Raises:
        DevError: There is no such node, or another output of it is used too.
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
    """Copy a workflow with one node more, its first output linked into ``into``: a node's title and its input."""
    number = str(1 + max(map(int, workflow)))
    changed = set_input(workflow, *into, [number, 0])
    changed[number] = {"class_type": class_type, "inputs": inputs, "_meta": {"title": title}}
    return changed


def bypass_node(workflow: Workflow, title: str, name: str) -> Workflow:
    """Copy a workflow without a node: what used its first output gets what was linked into its input ``name``."""
    changed = copy.deepcopy(workflow)
    number = _number_of(changed, title)
    for reader, used_by, _ in _readers(changed, number):
        reader["inputs"][used_by] = changed[number]["inputs"][name]
    del changed[number]
    return changed


def has_node(workflow: Workflow, title: str) -> bool:
    """Whether there is a node with a title."""
    return any(_has_title(node, title) for node in workflow.values())


def value_of(workflow: Workflow, slots: Sequence[Slot]) -> Any:
    """The value at the first fitting slot, None where none fits."""
    return next((inputs[name] for slot in slots for inputs, name in _places(workflow, slot)), None)


def _places(workflow: Workflow, slot: Slot) -> list[tuple[dict[str, Any], str]]:
    """Every (inputs, name) of a widget a slot fits; an input that is linked to another node has no widget."""
    found = []
    for node in workflow.values():
        if slot.title is None or _has_title(node, slot.title):
            names = [name for name in slot.inputs if name in node["inputs"]]
            found += [(node["inputs"], name) for name in names[:1] if not isinstance(node["inputs"][name], list)]
    return found


def _number_of(workflow: Workflow, title: str) -> str:
    """The number of the node with a title."""
    for number, node in workflow.items():
        if _has_title(node, title):
            return number
    raise DevError(f"The workflow has no node with the title {title}. Give that node this title again.")


def _readers(workflow: Workflow, number: str) -> list[tuple[dict[str, Any], str, int]]:
    """Every (node, input, output) at which an output of a node is linked into another's input."""
    return [
        (node, name, value[1])
        for node in workflow.values()
        for name, value in node["inputs"].items()
        if isinstance(value, list) and value[:1] == [number]
    ]


def _has_title(node: dict[str, Any], title: str) -> bool:
    return node.get("_meta", {}).get("title", "").lower() == title.lower()
