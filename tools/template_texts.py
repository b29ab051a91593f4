"""Texts of the templates that the pack shows in the language of the editor: titles, labels of boxes, and notes."""

import json

from .environment import ROOT
from .locale_files import Texts

NOTE = "MarkdownNote"


def template_texts() -> Texts:
    """English texts of the saved templates.

    Returns:
        ``boxes``, ``labels`` of their slots and ``titles`` of other nodes by their English text, and ``notes``, each a
        ``title`` and a ``text``, by the name of the template.
    """
    boxes, labels, titles, notes = set(), set(), set(), {}
    for path in sorted((ROOT / "workflows").glob("*.json")):
        graph = json.loads(path.read_text(encoding="utf-8"))
        subgraphs = (graph.get("definitions") or {}).get("subgraphs", [])
        own = {subgraph["name"] for subgraph in subgraphs}
        boxes |= own
        labels |= {slot["label"] for subgraph in subgraphs for slot in (*subgraph["inputs"], *subgraph["outputs"])}
        (note,) = [node for node in graph["nodes"] if node["type"] == NOTE]
        notes[path.stem] = {"title": note["title"], "text": note["widgets_values"][0]}
        titles |= {node["title"] for node in graph["nodes"] if node is not note} - own
    by_text = {"boxes": boxes, "labels": labels, "titles": titles}
    return {**{name: {text: text for text in sorted(texts)} for name, texts in by_text.items()}, "notes": notes}
