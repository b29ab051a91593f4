"""Small graphs of the nodes in use, of which ``tools.make_help_pictures`` takes the pictures of the help pages."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from uniavgen_core.tasks import JOINT

from .workflow import Workflow

BUNDLED = "bundled_toon"
CAPTION = "A happy toon with red hair nods while talking to the camera."
TRANSCRIPT = "hello happy robot"
Link = list[Any]


@dataclass(frozen=True)
class Node:
    """A node of a graph; calling it gives a link to one of its outputs."""

    number: str

    def __call__(self, output: int = 0) -> Link:
        """Link to an output."""
        return [self.number, output]


class ToonGraph:
    """A graph of the bundled model; a part is added when it is first used."""

    def __init__(self) -> None:
        self.nodes: Workflow = {}

    def add(self, kind: str, **inputs: Any) -> Node:
        """Add a node of a class; a dot in the name of an input is written as two underscores."""
        node = Node(str(len(self.nodes) + 1))
        self.nodes[node.number] = {
            "class_type": kind,
            "inputs": {name.replace("__", "."): value for name, value in inputs.items()},
        }
        return node

    @cached_property
    def model(self) -> Node:
        """The joint model."""
        return self.add("UniAVGenLoadModel", model_name=BUNDLED)

    @cached_property
    def clip(self) -> Node:
        """The text encoder."""
        return self.add("UniAVGenLoadTextEncoder", text_encoder=BUNDLED)

    @cached_property
    def video_vae(self) -> Node:
        """The video VAE."""
        return self.add("UniAVGenLoadVideoVAE", video_vae=BUNDLED)

    @cached_property
    def audio_vae(self) -> Node:
        """The audio VAE."""
        return self.add("UniAVGenLoadAudioVAE", vocoder="griffin_lim")

    @cached_property
    def image(self) -> Node:
        """The portrait."""
        return self.add("UniAVGenToonPortrait", portrait="toon_5_happy")

    @cached_property
    def toon(self) -> Node:
        """A clip of another toon: outputs video, audio, transcript and caption."""
        return self.add("UniAVGenToonClip", clip="toon_7")

    @cached_property
    def caption(self) -> Node:
        """The encoded caption."""
        return self.add("CLIPTextEncode", text=CAPTION, clip=self.clip())

    @cached_property
    def negative(self) -> Node:
        """The encoded negative caption."""
        return self.add("CLIPTextEncode", text="", clip=self.clip())

    @cached_property
    def speech(self) -> Node:
        """The caption with its transcript."""
        return self.add("UniAVGenSpeechText", conditioning=self.caption(), transcript=TRANSCRIPT)

    @cached_property
    def empty(self) -> Node:
        """An empty clip."""
        return self.add("UniAVGenEmptyLatent")

    @cached_property
    def reference(self) -> Node:
        """The empty clip with the portrait as its first frame: outputs positive, negative and latent."""
        return self.add(
            "UniAVGenReferenceImage", **self.texts(self.speech), video_vae=self.video_vae(), image=self.image(),
            latent=self.empty(),
        )  # fmt: skip

    @cached_property
    def task(self) -> Node:
        """Joint generation: outputs positive, negative, latent and source_media."""
        return self.add_task(JOINT.name, image=self.image())

    @cached_property
    def sampled(self) -> Node:
        """The sampled clip."""
        return self.add_sampler(self.task)

    @cached_property
    def decoded(self) -> Node:
        """Frames, audio and frame rate of the sampled clip."""
        return self.add("UniAVGenDecode", latent=self.sampled(), **self.codecs(), source_media=self.task(3))

    @cached_property
    def saved(self) -> Node:
        """The saved video."""
        return self.add(
            "UniAVGenSaveVideo", images=self.decoded(0), audio=self.decoded(1), source_media=self.task(3),
            fps=self.decoded(2),
        )  # fmt: skip

    def texts(self, positive: Node) -> dict[str, Link]:
        """Inputs for both conditionings."""
        return {"positive": positive(), "negative": self.negative()}

    @staticmethod
    def prepared(source: Node) -> dict[str, Link]:
        """Inputs for the conditionings and the latent of a node that prepares a clip."""
        return {"positive": source(0), "negative": source(1), "latent": source(2)}

    def codecs(self) -> dict[str, Link]:
        """Inputs for both VAEs."""
        return {"video_vae": self.video_vae(), "audio_vae": self.audio_vae()}

    def add_task(self, name: str, **inputs: Any) -> Node:
        """Add the task node with the inputs of a task."""
        chosen = {f"task__{key}": value for key, value in inputs.items()}
        return self.add("UniAVGenTask", **self.texts(self.speech), video_vae=self.video_vae(), task=name, **chosen)

    def add_sampler(self, source: Node, **inputs: Link) -> Node:
        """Add a sampler of a clip that a node has prepared; ``inputs`` replace links to that node or to the model."""
        links = {"model": self.model(), **self.prepared(source), **inputs}
        return self.add("UniAVGenSampler", **links, seed=1)


@dataclass(frozen=True)
class Picture:
    """A node in use, and its neighbours, each column from top to bottom.

    Attributes:
        left: Nodes on its left.
        node: The node.
        right: Nodes on its right.
        runs: Output node that is run first, so that the nodes show their results; None for no run.
    """

    left: Sequence[Node]
    node: Node
    right: Sequence[Node] = ()
    runs: Node | None = None
