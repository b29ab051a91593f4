"""Templates that need files to download, so they are not run where templates are made.

The list of files lies in the loaders' properties, where ComfyUI's editor looks for what it offers to download.
"""

from typing import Any

from .finish_graph import FINISH_FILES, FINISH_NOTE, finish
from .graph_studio import Graph
from .released_graphs import RELEASED, RELEASED_FILES, released_note

FILES = {**RELEASED_FILES, **FINISH_FILES}
"""By the class of the loader whose widget names a file: the file, where it can be downloaded, and ComfyUI's folder."""
WITH_FILES = (*RELEASED, "finish")
"""Names of the templates."""


def template_with_files(name: str) -> Graph:
    """Graph of a template, with a note about its files."""
    if name == "finish":
        graph = finish()
        graph.title, graph.note = "Smoother and larger", FINISH_NOTE
        return graph
    graph = RELEASED[name]()
    graph.title, graph.note = "Files", released_note({node["class_type"] for node in graph.nodes.values()})
    return graph


def with_files(saved: dict[str, Any]) -> dict[str, Any]:
    """List in a saved graph's loaders the file that each of them names; changes and returns the graph."""
    subgraphs = (saved.get("definitions") or {}).get("subgraphs", [])
    for node in (node for graph in (saved, *subgraphs) for node in graph["nodes"]):
        file = FILES.get(node["type"])
        if file and file["name"] in node["widgets_values"]:
            node["properties"]["models"] = [file]
    return saved
