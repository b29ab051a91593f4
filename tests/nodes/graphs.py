"""Workflows in API format, built from the quick start, for a real server to run."""

import copy
import json
from pathlib import Path

QUICK_START = json.loads((Path(__file__).parents[2] / "workflows" / "api" / "quick_start.json").read_text())
GUIDANCE = {
    "video_guidance": 2.0,
    "audio_guidance": 2.0,
    "share": 0.5,
    "afterwards": "text guidance (release)",
    "skipped_layer": 0,
}


def node_of(graph, kind):
    """The number of the one node of a class."""
    (number,) = [number for number, node in graph.items() if node["class_type"] == kind]
    return number


class Graph:
    """The quick start with changes: every method returns the graph itself or a link to a new node's output."""

    def __init__(self, steps=3, **size):
        self.nodes = copy.deepcopy(QUICK_START)
        self.set("UniAVGenSampler", steps=steps)
        self.set("UniAVGenSpeechText", transcript="hello moon")
        self.set("UniAVGenEmptyLatent", **{"seconds": 1.0625, "width": 64, "height": 64, **size})

    def set(self, kind, **inputs):
        self.nodes[node_of(self.nodes, kind)]["inputs"] |= inputs
        return self

    def get(self, kind, name):
        return self.nodes[node_of(self.nodes, kind)]["inputs"][name]

    def add(self, kind, **inputs):
        number = str(1 + max(map(int, self.nodes)))
        self.nodes[number] = {"class_type": kind, "inputs": inputs}
        return [number, 0]

    def remove(self, kind):
        del self.nodes[node_of(self.nodes, kind)]
        return self

    def replace_sampler(self, latent):
        """Decode ``latent`` in place of what the joint sampler made."""
        self.remove("UniAVGenSampler")
        return self.set("UniAVGenDecode", latent=latent)

    def sampler_links(self):
        """Links into the joint sampler: positive, negative, latent."""
        return {name: self.get("UniAVGenSampler", name) for name in ("positive", "negative")}

    def patch_model(self, kind, **inputs):
        """Put a node that patches the MODEL before the sampler."""
        link = self.add(kind, model=self.get("UniAVGenSampler", "model"), **inputs)
        return self.set("UniAVGenSampler", model=link)
