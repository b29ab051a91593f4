"""A task that is added to the table: what it needs besides is its setup for the node, and a template for the demo."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tools import demo_tasks
from tools.demo_options import parse
from tools.graph_studio import Studio as Graph
from uniavgen_core import tasks as table
from uniavgen_core.config import Interaction

CLIP = Path(__file__).parents[2] / "uniavgen_core" / "assets" / "clips" / "toon_7.mp4"
VOICED = table.Task(
    "voiced_dubbing",
    "Video dubbing in a reference voice",
    video=table.Keep.ALL,
    reference_voice=True,
    interaction=Interaction.VIDEO_TO_AUDIO,
)


@pytest.fixture
def voiced(pack, studio, monkeypatch):
    """The nodes with the new task."""
    node, tasks = studio.nodes.task, studio.nodes.host.tasks
    task = pack.uniavgen_core.tasks.Task(
        VOICED.name,
        VOICED.title,
        video=pack.uniavgen_core.tasks.Keep.ALL,
        reference_voice=True,
        interaction=pack.uniavgen_core.config.Interaction.VIDEO_TO_AUDIO,
    )

    def prepare(scene, video, voice, voice_transcript=""):
        scene, notices = tasks.joint_setup.with_voice(scene, voice, voice_transcript)
        prepared = tasks.dubbing_setup.prepare_dubbing(scene, video)
        return replace(prepared, scene=prepared.scene.with_directions(task), notices=(*notices, *prepared.notices))

    def sockets():
        from comfy_api.latest import io

        return [io.Video.Input("video"), io.Audio.Input("voice"), io.String.Input("voice_transcript")]

    monkeypatch.setitem(pack.uniavgen_core.tasks.TASKS, task.name, task)
    monkeypatch.setitem(node.SETUPS, task.name, (sockets, prepare))
    return studio


@pytest.fixture
def template(monkeypatch, tmp_path):
    """The demo with the new task and its template."""
    graph = Graph(None, "A toon talks.", "red moon")
    clip = graph.add("UniAVGenToonClip", "Video", clip="toon_3")
    voice = graph.add("UniAVGenToonClip", "Voice", clip="toon_7")
    task = graph.task(VOICED, video=clip(), voice=voice(1), voice_transcript="hello nice fish")
    (tmp_path / f"{VOICED.name}.json").write_text(json.dumps(graph.after_task(task).nodes))
    monkeypatch.setitem(table.TASKS, VOICED.name, VOICED)
    monkeypatch.setattr(demo_tasks, "api_file", lambda name: tmp_path / f"{name}.json")


def test_the_node_offers_it_with_its_title(voiced):
    (chosen,) = [one for one in voiced.nodes.task.Task.define_schema().inputs if one.id == "task"]
    assert [option.key for option in chosen.options] == [*table.TASKS, VOICED.name]
    assert [one.id for one in chosen.options[-1].inputs] == ["video", "voice", "voice_transcript"]
    assert VOICED.title in chosen.tooltip


def test_the_node_keeps_what_it_keeps_and_runs_its_direction(voiced):
    video, audio, _ = voiced.example()
    images, _, _ = voiced.make(VOICED.name, video=video, voice=audio, voice_transcript="hello nice fish")
    assert torch.equal(images, video.get_components().images)
    positive = voiced.task(VOICED.name, video=video, voice=audio, voice_transcript="hello nice fish").args[0]
    settings = voiced.nodes.host.conditioning.pass_settings
    assert settings.pass_settings_of(positive[0][1]).interaction.value == "video_to_audio"
    assert settings.pass_settings_of(positive[0][1]).speeches[0].voice_transcript == "hello nice fish"
    assert settings.REFERENCE_VOICE_KEY in positive[0][1]


@pytest.mark.usefixtures("template")
def test_the_demo_takes_the_options_of_what_it_keeps_and_refuses_others(capsys):
    arguments = ["--task", VOICED.name, "--video", str(CLIP), "--audio", str(CLIP), "--audio-transcript", "hello"]
    assert parse([*arguments, "--speech", "red moon"]).audio_transcript == "hello"
    for option in (["--seconds", "1"], ["--image", str(CLIP)], ["--keep-seconds", "1"], ["--script", "hello"]):
        with pytest.raises(SystemExit):
            parse([*arguments, *option])
        assert f"{option[0]} does not belong to --task {VOICED.name}" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        parse(["--help"])
    assert f"{VOICED.name}: {VOICED.title}" in capsys.readouterr().out


@pytest.mark.usefixtures("template")
def test_the_demo_puts_the_users_files_into_its_template():
    options = parse(["--task", VOICED.name, "--video", str(CLIP), "--audio", str(CLIP), "--audio-transcript", "hello"])
    workflow = json.loads(demo_tasks.template_of(options).read_text())
    workflow = demo_tasks.prepare(workflow, options, lambda path, folder: f"{folder}/{path.name}")
    (task,) = [node["inputs"] for node in workflow.values() if node["class_type"] == "UniAVGenTask"]
    loaded = [workflow[task[f"task.{name}"][0]]["class_type"] for name in ("video", "voice")]
    assert (task["task"], task["task.voice_transcript"], loaded) == (VOICED.name, "hello", ["LoadVideo", "LoadAudio"])
