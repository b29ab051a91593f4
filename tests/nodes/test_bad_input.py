"""What is refused, in which words; the server keeps serving."""

import pytest
import torch
from safetensors.torch import save_file

from tests.nodes.graphs import Graph
from tools.comfy_client import PromptFailedError, PromptRejectedError


@pytest.fixture
def refusal_of(server):
    """Run a graph that must be refused; gives the message, and checks that the server still answers."""

    def run(graph):
        with pytest.raises((PromptRejectedError, PromptFailedError)) as error:
            server.run(graph.nodes)
        assert server.is_running
        assert "UniAVGenSampler" in server.object_info("UniAVGenSampler")
        return str(error.value)

    return run


@pytest.mark.parametrize("transcript", ["", "   \n"])
def test_an_empty_transcript_is_named_before_anything_runs(server, transcript):
    with pytest.raises(PromptRejectedError, match="transcript is empty"):
        server.run(Graph().set("UniAVGenSpeechText", transcript=transcript).nodes)


def test_a_transcript_of_nothing_the_model_knows_is_named_before_anything_runs(server):
    with pytest.raises(PromptRejectedError, match="knows none of the transcript's characters: ☃ \U0001f600"):
        server.run(Graph().set("UniAVGenSpeechText", transcript="☃ \U0001f600").nodes)


def test_a_transcript_that_does_not_fit_says_how_much_does(refusal_of):
    message = refusal_of(Graph().set("UniAVGenSpeechText", transcript="one two " * 20))
    assert "160 characters" in message
    assert "1.1 seconds" in message


@pytest.mark.parametrize(("name", "value"), [("width", 100), ("height", 130), ("seconds", 0.0), ("seconds", 1e6)])
def test_sizes_the_model_cannot_make_are_refused_with_the_limit(server, name, value):
    with pytest.raises(PromptRejectedError, match=rf"{name} is {value}; it must be"):
        server.run(Graph().set("UniAVGenEmptyLatent", **{name: value}).nodes)


def test_a_linked_size_is_checked_when_it_is_known(refusal_of):
    graph = Graph()
    message = refusal_of(graph.set("UniAVGenEmptyLatent", width=graph.add("PrimitiveInt", value=100)))
    assert "width is 100" in message


def test_a_linked_transcript_is_checked_when_it_is_known(refusal_of):
    graph = Graph()
    assert "empty" in refusal_of(graph.set("UniAVGenSpeechText", transcript=graph.add("PrimitiveString", value=" ")))


def test_an_image_with_alpha_is_refused(refusal_of):
    graph = Graph()
    image = graph.get("UniAVGenReferenceImage", "image")
    mask = graph.add("SolidMask", value=1.0, width=128, height=128)
    rgba = graph.add("JoinImageWithAlpha", image=image, alpha=mask)
    assert "4 channels" in refusal_of(graph.set("UniAVGenReferenceImage", image=rgba))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "half way"),
        (b"\x10\x00\x00\x00\x00\x00\x00\x00{}", "half way"),
        (None, "not a UniAVGen checkpoint"),
    ],
    ids=["empty", "cut short", "another model"],
)
def test_a_file_that_is_no_checkpoint_says_so(refusal_of, server, content, expected):
    folder = server.folder / "models" / "diffusion_models"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"bad_{expected[:3]}_{0 if content is None else len(content)}.safetensors"
    if content is None:
        save_file({"some.weight": torch.zeros(2)}, path)
    else:
        path.write_bytes(content)
    server.object_info("UniAVGenLoadModel")
    message = refusal_of(Graph().set("UniAVGenLoadModel", model_name=path.name))
    assert expected in message


def test_a_latent_of_another_model_is_refused(refusal_of):
    graph = Graph()
    other = graph.add("EmptyLatentImage", width=64, height=64, batch_size=1)
    assert "not a UniAVGen latent" in refusal_of(graph.set("UniAVGenSampler", latent=other))


def test_area_conditioning_is_refused(refusal_of):
    graph = Graph()
    area = {"width": 64, "height": 64, "x": 0, "y": 0, "strength": 1.0}
    limited = graph.add("ConditioningSetArea", conditioning=graph.get("UniAVGenSampler", "positive"), **area)
    assert "area" in refusal_of(graph.set("UniAVGenSampler", positive=limited))


def test_a_reference_image_of_another_size_is_refused(refusal_of):
    graph = Graph()
    larger = graph.add("UniAVGenEmptyLatent", width=96, height=64, seconds=1.0625, batch_size=1)
    assert "64x64" in refusal_of(graph.set("UniAVGenSampler", latent=larger))
