"""Texts of the templates that the pack shows in the language of the editor: titles, labels of boxes, and notes."""

import json

from .locale_files import Texts
from .template_titles import TITLES, graph_file

NOTE = "MarkdownNote"


def template_texts() -> Texts:
    """English texts of the saved templates.

    Returns:
        ``boxes``, ``labels`` of their slots and ``titles`` of other nodes by their English text, and ``notes``, each a
        ``title`` and a ``text``, by the short name of the template.
    """
    boxes, labels, titles, notes = set(), set(), set(), {}
    for name in TITLES:
        graph = json.loads(graph_file(name).read_text(encoding="utf-8"))
        subgraphs = (graph.get("definitions") or {}).get("subgraphs", [])
        own = {subgraph["name"] for subgraph in subgraphs}
        boxes |= own
        labels |= {slot["label"] for subgraph in subgraphs for slot in (*subgraph["inputs"], *subgraph["outputs"])}
        (note,) = [node for node in graph["nodes"] if node["type"] == NOTE]
        notes[name] = {"title": note["title"], "text": note["widgets_values"][0]}
        titles |= {node["title"] for node in graph["nodes"] if node is not note} - own
    by_text = {"boxes": boxes, "labels": labels, "titles": titles}
    return {**{kind: {text: text for text in sorted(texts)} for kind, texts in by_text.items()}, "notes": notes}
