"""A graph under construction: shared loaders and texts, a task, the nodes after it, and the box that holds them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from uniavgen_core.tasks import Task

from .workflow import Workflow

BUNDLED = "bundled_toon"
MATCH_INPUT = "match_input"
Link = list[Any]

SHOWN = (
    ("Speech", "transcript", "transcript"),
    ("Speaker 1", "transcript", "transcript 1"),
    ("Speaker 1", "stop", "stop 1"),
    ("Speaker 2", "transcript", "transcript 2"),
    ("Speaker 2", "start", "start 2"),
    ("Long video", "script", "script"),
    ("Caption", "text", "caption"),
    ("Task", "task.voice_transcript", "voice transcript"),
    ("Task", "task.kept_transcript", "kept transcript"),
    ("Task", "task.region", "region"),
    ("Task", "task.keep_seconds", "keep seconds"),
    ("Task", "task.seconds", "seconds"),
    ("Best take", "takes", "takes"),
    ("Retake", "threshold", "threshold"),
    ("Retake", "takes", "takes"),
    ("Retake", "regenerate", "regenerate"),
    ("Sample video and audio", "seed", "seed"),
    ("Long video", "seed", "seed"),
    ("Best take", "seed", "seed"),
    ("Retake", "seed", "seed"),
    ("Noise", "noise_seed", "seed"),
    ("Steps", "steps", "steps"),
    ("Sampler", "sampler_name", "sampler"),
    ("Few-step LoRA", "lora_name", "LoRA"),
    ("Load the model", "model_name", "model"),
    ("Load the text encoder", "text_encoder", "text encoder"),
    ("Load the video VAE", "video_vae", "video VAE"),
    ("Load the audio VAE", "vocoder", "vocoder"),
    ("Resize", "scale_by", "scale by"),
    ("Multiplier", "value", "frame rate multiplier"),
    ("Load the upscaler", "model_name", "upscaler"),
    ("Load the interpolation model", "model_name", "interpolation model"),
)
"""Widgets that a box shows where its nodes have them: title of the node, name of the widget, and label on the box."""


@dataclass(frozen=True)
class Files:
    """Files that the loaders of a template load."""

    model: str = BUNDLED
    text_encoder: str = BUNDLED
    video_vae: str = BUNDLED
    vocoder: str = "griffin_lim"


TOON = Files()


@dataclass(frozen=True)
class Box:
    """Nodes that the editor shows as one, a subgraph.

    Attributes:
        title: Its title, and as a blueprint its name in the node library.
        description: Its purpose, in a sentence.
        aliases: Words under which people look for it.
        is_example: True if it holds example media only, and is no blueprint.
    """

    title: str
    description: str
    aliases: tuple[str, ...] = ()
    is_example: bool = False


@dataclass
class Graph:
    """A template: its nodes in API format, those that stay at the top, and the boxes that hold the others.

    Attributes:
        nodes: All nodes.
        boxes: Numbers of the nodes in each box.
        columns: Titles of the nodes, column by column; empty to place each node right of all it depends on.
        title: Title of the note beside the graph.
        note: Its text, Markdown.
    """

    nodes: Workflow = field(default_factory=dict)
    boxes: dict[Box, list[str]] = field(default_factory=dict)
    columns: list[list[str]] = field(default_factory=list)
    title: str = ""
    note: str = ""


class Canvas:
    """A graph under construction.

    Attributes:
        graph: The graph.
        box: Box that takes the nodes which are added; None to leave them at the top.
    """

    def __init__(self, box: Box | None) -> None:
        self.graph, self.box = Graph(), box

    def add(self, kind: str, title: str, **inputs: Any) -> Callable[[int], Link]:
        """Add a node of a class and title; returns a function from the number of an output to a link to it.

        ``inputs`` are values or links of other nodes; a name of a task's own input is written with two underscores.
        """
        number = str(len(self.graph.nodes) + 1)
        named = {name.replace("__", "."): value for name, value in inputs.items()}
        self.graph.nodes[number] = {"class_type": kind, "inputs": named, "_meta": {"title": title}}
        if self.box is not None:
            self.graph.boxes.setdefault(self.box, []).append(number)
        return lambda output=0: [number, output]

    def source(self, kind: str, title: str, **inputs: Any) -> Callable[[int], Link]:
        """Add a node that stays at the top, as people's own media do."""
        return self.inside(None, kind, title, **inputs)

    def inside(self, box: Box | None, kind: str, title: str, **inputs: Any) -> Callable[[int], Link]:
        """Add a node to another box."""
        usual, self.box = self.box, box
        added = self.add(kind, title, **inputs)
        self.box = usual
        return added


class Studio(Canvas):
    """A graph under construction that has the loaders, the caption and the transcript."""

    preset = "auto"

    def __init__(self, box: Box | None, caption: str, transcript: str | None, files: Files = TOON) -> None:
        super().__init__(box)
        self.model = self.add("UniAVGenLoadModel", "Load the model", model_name=files.model)()
        clip = self.add("UniAVGenLoadTextEncoder", "Load the text encoder", text_encoder=files.text_encoder)()
        self.video_vae = self.add("UniAVGenLoadVideoVAE", "Load the video VAE", video_vae=files.video_vae)()
        self.audio_vae = self.add("UniAVGenLoadAudioVAE", "Load the audio VAE", vocoder=files.vocoder)()
        self.positive = self.add("CLIPTextEncode", "Caption", text=caption, clip=clip)()
        if transcript is not None:
            said = self.add("UniAVGenSpeechText", "Speech", conditioning=self.positive, transcript=transcript)
            self.positive = said()
        self.negative = self.add("CLIPTextEncode", "Negative caption", text="", clip=clip)()

    def task(self, task: Task, **inputs: Any) -> Callable[[int], Link]:
        """Add the task node, at the size of its picture; its outputs are positive, negative, latent, source_media."""
        chosen = {f"task__{key}": value for key, value in inputs.items()}
        return self.add(
            "UniAVGenTask", "Task", positive=self.positive, negative=self.negative, video_vae=self.video_vae,
            size=MATCH_INPUT, task=task.name, **chosen,
        )  # fmt: skip

    def finish(self, positive: Link, negative: Link, latent: Link, source_media: Link | None = None) -> Graph:
        """Sample, decode and save."""
        sampled = self.add(
            "UniAVGenSampler", "Sample video and audio", model=self.model, positive=positive, negative=negative,
            latent=latent, seed=1, preset=self.preset,
        )  # fmt: skip
        return self.decode(sampled(), source_media)

    def sample_custom(self, guider: Link, latent: Link, sigmas_node: str, **steps: Any) -> Link:
        """Sample with ComfyUI's own parts; ``sigmas_node`` is the class of the node that makes the noise levels."""
        return self.add(
            "SamplerCustomAdvanced", "Sample video and audio", guider=guider, latent_image=latent,
            noise=self.add("RandomNoise", "Noise", noise_seed=1)(),
            sampler=self.add("KSamplerSelect", "Sampler", sampler_name="euler")(),
            sigmas=self.add(sigmas_node, "Steps", **steps)(),
        )()  # fmt: skip

    def decode(self, latent: Link, source_media: Link | None = None) -> Graph:
        """Decode and save."""
        own = {} if source_media is None else {"source_media": source_media}
        decoded = self.add(
            "UniAVGenDecode", "Decode", latent=latent, video_vae=self.video_vae, audio_vae=self.audio_vae, **own
        )
        self.source(
            "UniAVGenSaveVideo", "Save", images=decoded(0), audio=decoded(1), **own, fps=decoded(2),
            filename_prefix="video/uniavgen",
        )  # fmt: skip
        return self.graph

    def long_video(self, **inputs: Any) -> Graph:
        """Make a long video and save it with ComfyUI's own node, which reads its frames one by one."""
        made = self.add(
            "UniAVGenLongVideo", "Long video", model=self.model, positive=self.positive, negative=self.negative,
            video_vae=self.video_vae, audio_vae=self.audio_vae, **inputs, size=MATCH_INPUT, length="full_segments",
            seed=1,
        )  # fmt: skip
        self.source("SaveVideo", "Save", video=made(), filename_prefix="video/uniavgen", format="auto", codec="auto")
        return self.graph

    def after_task(self, task: Callable[[int], Link]) -> Graph:
        """Sample, decode and save what a task node set up."""
        return self.finish(task(0), task(1), task(2), task(3))


def shown_widgets(graph: Graph, box: Box) -> list[dict[str, str]]:
    """Widgets of a box's nodes that the box shows, in order, of those that the graph sets."""
    inside = {graph.nodes[number]["_meta"]["title"]: graph.nodes[number]["inputs"] for number in graph.boxes[box]}
    return [
        {"owner": owner, "widget": widget, "label": label}
        for owner, widget, label in SHOWN
        if widget in inside.get(owner, {}) and not isinstance(inside[owner][widget], list)
    ]
