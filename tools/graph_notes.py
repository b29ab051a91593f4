"""Notes beside the nodes of a saved graph."""

from typing import Any

from uniavgen_core.diffusion.sampling_presets import PRESETS, TOON_STEPS

Graph = dict[str, Any]
"""A graph as ComfyUI's editor saves it."""
SAMPLERS = {"UniAVGenSampler", "UniAVGenLongVideo", "UniAVGenBestTake"}
GAP, SAMPLING_HEIGHT = 60, 120  # pixels
ENOUGH = (
    f"The bundled model needs {TOON_STEPS} step{'s' * (TOON_STEPS > 1)} without guidance: its toons follow from their "
    "conditions."
)
BLENDED = (
    "The bundled model takes some steps here, without guidance: the picture around the mouth is blended into each."
)
RELEASED = f"With the released weights, choose the **preset** *release*: {PRESETS['release'].in_words}."


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


def with_sampling_note(graph: Graph, steps: int) -> Graph:
    """Say above the sampler how the bundled, in ``steps``, and the released model are sampled; changes the graph."""
    (sampler,) = [node for node in graph["nodes"] if node["type"] in SAMPLERS]
    left, width = sampler["pos"][0], sampler["size"][0]
    top = min(node["pos"][1] for node in graph["nodes"] if node["pos"][0] == left)
    text = f"{ENOUGH if steps == TOON_STEPS else BLENDED}\n\n{RELEASED}"
    add_note(graph, "Steps", text, (left, top - SAMPLING_HEIGHT - GAP), (width, SAMPLING_HEIGHT))
    return graph
