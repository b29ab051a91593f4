"""Transcripts and captions on their way into the conditioning, in a real ComfyUI."""

import pytest

from tests.nodes.graphs import Graph, node_of
from tools.comfy_client import PromptFailedError


@pytest.fixture
def fails_with(server):
    """Run a graph that fails and read the server's words."""

    def run(graph):
        with pytest.raises(PromptFailedError) as error:
            server.run(graph.nodes)
        return str(error.value)

    return run


def notices_of(server, graph):
    """What the transcript's node told its user."""
    outputs = server.run(graph.nodes).outputs
    return outputs.get(node_of(graph.nodes, "UniAVGenSpeechText"), {}).get("uniavgen_notices", [])


def test_what_changes_in_a_transcript_is_told_and_does_not_stop_the_run(server):
    graph = Graph(steps=1).set("UniAVGenSpeechText", transcript="hi ☃ “3”")
    assert notices_of(server, graph) == [
        "The model knows nothing near ☃; a space replaces it.",
        '“ became ".',
        '” became ".',
        "3 became three.",
    ]


def test_switched_off_a_transcript_keeps_its_digits(server):
    graph = Graph(steps=1).set("UniAVGenSpeechText", transcript="hello 3", spell_out=False)
    assert notices_of(server, graph) == []


def test_a_transcript_is_as_long_as_what_is_said(fails_with):
    number = "one million seven hundred seventy seven thousand seven hundred and seventy seven"
    message = fails_with(Graph().set("UniAVGenSpeechText", transcript="1,777,777 1,777,777"))
    assert f"{len(number) * 2 + 1} characters" in message


def test_the_emotion_is_written_into_the_caption(server):
    graph = Graph(steps=1)
    link = graph.add("UniAVGenEmotion", caption="An angry toon nods.", emotion="happy", strength="normal")
    graph.add("PreviewAny", source=link)
    outputs = server.run(graph.nodes).outputs
    assert outputs[link[0]]["uniavgen_notices"] == ["'An angry' in the caption became 'A happy'."]
    assert [output["text"] for output in outputs.values() if "text" in output] == [["A happy toon nods."]]
