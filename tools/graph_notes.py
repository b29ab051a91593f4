"""Notes beside the nodes of a saved graph."""

from typing import Any

Graph = dict[str, Any]
"""A graph as ComfyUI's editor saves it."""


def add_note(graph: Graph, title: str, text: str, place: tuple[float, float], size: tuple[float, float]) -> None:
    """Add a note of Markdown; ``place`` is its upper left corner and ``size`` width and height, in pixels."""
    graph["last_node_id"] += 1
    graph["nodes"].append(
        {
            "id": graph["last_node_id"], "type": "MarkdownNote", "pos": list(place), "size": list(size),
            "flags": {}, "order": 0, "mode": 0, "inputs": [], "outputs": [], "title": title, "properties": {},
            "widgets_values": [text],
        }
    )  # fmt: skip
