"""Ids of the Comfy Registry on the nodes of a saved graph, from which ComfyUI knows which pack to install."""

from typing import Any

PACK, CORE = "uniavgen", "comfy-core"
OF_THE_SERVER = "Node name for S&R"
"""Property that the editor gives to the server's nodes, and not to its own, such as notes."""


def with_registry_ids(graph: dict[str, Any]) -> dict[str, Any]:
    """Write into each node of a saved graph, and of its subgraphs, the pack it comes from; changes the graph."""
    subgraphs = (graph.get("definitions") or {}).get("subgraphs", [])
    for node in (node for part in (graph, *subgraphs) for node in part["nodes"]):
        if OF_THE_SERVER in node["properties"]:
            node["properties"]["cnr_id"] = PACK if node["type"].startswith("UniAVGen") else CORE
    return graph
