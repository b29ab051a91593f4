"""Workflows in API format, the quick start with its task node taken apart, for a real server to run."""

import copy
import json
from inspect import signature
from pathlib import Path

QUICK_START = json.loads((Path(__file__).parents[2] / "workflows" / "api" / "quick_start.json").read_text())
GUIDANCE = {
    "video_guidance": 2.0,
    "audio_guidance": 2.0,
    "modality_aware_share": 0.5,
    "after_share": "text_cfg",
    "skip_layer": 0,
}


def node_of(graph, kind):
    """The number of the one node of a class."""
    (number,) = [number for number, node in graph.items() if node["class_type"] == kind]
    return number


def in_parts(workflow):
    """The quick start with an empty latent and a reference image in the place of its task node."""
    nodes = copy.deepcopy(workflow)
    task = nodes[node_of(nodes, "UniAVGenTask")]["inputs"]
    size = {"width": 128, "height": 128, "seconds": 2.0625, "batch_size": 1}
    nodes["90"] = {"class_type": "UniAVGenEmptyLatent", "inputs": size}
    links = {name: task[name] for name in ("positive", "negative", "video_vae")}
    inputs = {**links, "image": task["task.image"], "latent": ["90", 0], "fit": "crop"}
    nodes[node_of(nodes, "UniAVGenTask")] = {"class_type": "UniAVGenReferenceImage", "inputs": inputs}
    for kind in ("UniAVGenDecode", "UniAVGenSaveVideo"):
        del nodes[node_of(nodes, kind)]["inputs"]["source_media"]
    return nodes


class Graph:
    """That graph, guided as a released model is, with changes.

    Every method returns the graph itself or a link to a new node's output.
    """

    def __init__(self, steps=3, **size):
        self.nodes = in_parts(QUICK_START)
        self.set("UniAVGenSampler", preset="custom", steps=steps, video_guidance=1.5, audio_guidance=2.0)
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
        """Texts that are linked into the joint sampler: positive and negative."""
        return {name: self.get("UniAVGenSampler", name) for name in ("positive", "negative")}

    def patch_model(self, kind, **inputs):
        """Put a node that patches the MODEL before the sampler."""
        link = self.add(kind, model=self.get("UniAVGenSampler", "model"), **inputs)
        return self.set("UniAVGenSampler", model=link)


def chosen_options(kind):
    """Valid options of those inputs of a node whose options have widgets of their own, for ``validate_inputs``."""
    return {
        name: {name: "any"} for name in ("size", "task", "source") if name in signature(kind.validate_inputs).parameters
    }
