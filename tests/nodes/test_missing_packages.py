"""Without the packages that read numbers and Chinese: refused on the field, before anything runs."""

import sys

import pytest

from tests.nodes.graphs import chosen_options


@pytest.fixture
def without(studio, monkeypatch):
    """Make a package impossible to import, and forget that it was imported before."""
    text = sys.modules[f"{studio.nodes.__name__.rpartition('.')[0]}.uniavgen_core.text.tokenize"].__name__.rpartition(
        "."
    )[0]
    readers = (sys.modules[f"{text}.tokenize"].chinese_reader, sys.modules[f"{text}.spelling"].wetext_normalizer)

    def forget():
        for reader in readers:
            reader.cache_clear()

    def hide(*packages):
        forget()
        for package in packages:
            monkeypatch.setitem(sys.modules, package, None)

    yield hide
    forget()


CHINESE, DIGITS = "你好", "I have 3 fish"


@pytest.mark.parametrize("package", ["jieba", "pypinyin"])
def test_chinese_is_refused_on_the_transcript_when_it_is_queued_and_when_it_is_linked(studio, without, package):
    without(package)
    node = studio.nodes.speech_and_reference.SpeechText
    fault = node.validate_inputs(transcript=CHINESE)
    assert fault.startswith("transcript: There is Chinese")
    assert "pip install jieba pypinyin" in fault
    with pytest.raises(ValueError, match="transcript: There is Chinese"):
        node.execute([], CHINESE)


def test_numbers_are_refused_on_the_transcript_unless_they_are_left_as_they_are(studio, without):
    without("wetext")
    node = studio.nodes.speech_and_reference.SpeechText
    fault = node.validate_inputs(transcript=DIGITS, spell_out=True)
    assert fault.startswith("transcript: There are numbers")
    assert "pip install -U wetext" in fault
    assert node.validate_inputs(transcript=DIGITS, spell_out=False) is True
    assert node.validate_inputs(transcript="I have three fish", spell_out=True) is True
    with pytest.raises(ValueError, match="transcript: There are numbers"):
        node.execute([], DIGITS)


@pytest.mark.parametrize("text", [CHINESE, DIGITS])
def test_every_other_text_is_refused_by_its_name(studio, without, text):
    without("wetext", "jieba")
    nodes = studio.nodes
    for node, field in (
        (nodes.speech_and_reference.ReferenceVoice, "voice_transcript"),
        (nodes.speakers.OneSpeaker, "voice_transcript"),
        (nodes.speakers.OneSpeaker, "transcript"),
        (nodes.long_video.LongVideoNode, "script"),
        (nodes.long_video.LongVideoNode, "voice_transcript"),
    ):
        others = chosen_options(node)
        assert str(node.validate_inputs(**{field: text}, **others)).startswith(f"{field}: There "), (node, field)
        assert node.validate_inputs(**{field: "hello"}, **others) is True


@pytest.mark.parametrize(
    ("task", "media", "field", "inputs"),
    [
        ("reference_voice", "voice", "voice_transcript", {"seconds": 1.0625}),
        ("audio_driven", "audio", "audio_transcript", {"seconds": 2.5, "length": "set_seconds"}),
        ("continuation", "video", "kept_transcript", {"keep_seconds": 0.5, "seconds": 1.0, "result": "whole_clip"}),
    ],
)
def test_a_text_of_a_task_is_refused_by_its_name(studio, without, task, media, field, inputs):
    without("wetext")
    video, audio, _ = studio.example()
    media = {media: video if media == "video" else audio}
    with pytest.raises(ValueError, match=f"^{field}: There are numbers"):
        studio.task(task, **inputs, **media, **{field: DIGITS})
