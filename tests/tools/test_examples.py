"""The examples for the API, each run as its user runs it: a program of its own, against a real server."""

import ast
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from tools.comfy_client import Result
from tools.contact_sheet import read_clip
from uniavgen_core.tasks import JOINT, TASKS

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "api_examples"
ASSETS = ROOT / "uniavgen_core" / "assets"
CLIENT = EXAMPLES / "client.py"
PROGRAMS = sorted(set(EXAMPLES.glob("*.py")) - {CLIENT})
PORTRAIT, CLIP = ASSETS / "portraits" / "toon_1_calm.png", ASSETS / "clips" / "toon_5.mp4"  # of no template
CAPTION, WORDS = "A calm toon with black hair talks to the camera.", "hello moon star"


@pytest.fixture
def run(server, tmp_path):
    """Run an example; gives the file that it saved and the inputs of the graph that the server ran, in one line."""

    def run(name, *arguments):
        command = [sys.executable, str(EXAMPLES / f"{name}.py"), *map(str, arguments), "--server", server.base_url]
        printed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
        entry = list(server.get("/history").values())[-1]
        assert Result(entry["outputs"]).files()
        return tmp_path / printed.strip(), str([node["inputs"] for node in entry["prompt"][2].values()])

    return run


@pytest.fixture
def voice(tmp_path):
    """A sound file of one second."""
    path = tmp_path / "my voice.wav"
    clip = read_clip(CLIP)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=clip.sample_rate, layout="mono")
        samples = (clip.sound[None, : clip.sample_rate] * 32767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate = clip.sample_rate
        container.mux([*stream.encode(frame), *stream.encode(None)])
    return path


def shows(frame, picture):
    """True if a frame shows the toon of a portrait."""
    with Image.open(picture) as opened:
        wanted = np.asarray(opened.convert("RGB").resize(frame.shape[1::-1])).astype(int)
    return np.abs(wanted - frame).mean() < 12


def packets(path):
    """The compressed pictures of a video."""
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


def test_there_is_an_example_for_every_task_and_for_long_videos():
    assert {path.stem for path in PROGRAMS} == {*TASKS, "long_video"}


def modules_of(path):
    """Names of all that a program imports."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    modules = {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    modules |= {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return {name.split(".")[0] for name in modules}


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_an_example_is_short_and_speaks_with_the_server_through_the_client_alone(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 15
    assert modules_of(path) <= {"client", "pathlib"}


def test_the_client_needs_nothing_but_python():
    assert len(CLIENT.read_text(encoding="utf-8").splitlines()) <= 45
    assert modules_of(CLIENT) <= sys.stdlib_module_names


def test_a_picture_talks(run):
    path, sent = run(JOINT.name, PORTRAIT, CAPTION, WORDS)
    assert CAPTION in sent
    assert WORDS in sent
    assert shows(read_clip(path).frames[0], PORTRAIT)


def test_a_picture_talks_in_a_reference_voice(run, voice):
    path, sent = run("reference_voice", PORTRAIT, CAPTION, voice, "four orange", WORDS)
    assert "'task.voice_transcript': 'four orange'" in sent
    assert f"'transcript': '{WORDS}'" in sent
    assert "{'audio': 'my voice.wav'" in sent
    assert shows(read_clip(path).frames[0], PORTRAIT)


def test_a_picture_is_lip_synced_to_a_sound_that_comes_back_as_it_was(run, voice):
    path, sent = run("audio_driven", PORTRAIT, CAPTION, voice, WORDS)
    assert f"'transcript': '{WORDS}'" in sent
    clip, sound = read_clip(path), read_clip_sound(voice)
    assert shows(clip.frames[0], PORTRAIT)
    np.testing.assert_allclose(clip.sound[: len(sound)], sound, atol=1e-4)


def read_clip_sound(path):
    """Samples of a sound file, mono."""
    with av.open(str(path)) as container:
        parts = [frame.to_ndarray()[0] for frame in container.decode(audio=0)]
    return np.concatenate(parts) / 32768


def test_a_video_is_dubbed_and_keeps_its_stream(run):
    path, sent = run("dubbing", CLIP, CAPTION, WORDS)
    assert WORDS in sent
    assert packets(path) == packets(CLIP)
    assert np.abs(read_clip(path).sound).max() > 0.01


def test_a_clip_is_continued(run):
    path, sent = run("continuation", CLIP, CAPTION, WORDS)
    assert WORDS in sent
    clip, given = read_clip(path), read_clip(CLIP)
    assert clip.seconds > given.seconds + 1
    assert np.abs(clip.frames[: len(given.frames)].astype(int) - given.frames).mean() < 3


def test_a_video_gets_new_words_and_keeps_its_picture_around_the_mouth(run):
    path, sent = run("relip", CLIP, CAPTION, WORDS)
    assert WORDS in sent
    clip, given = read_clip(path), read_clip(CLIP)
    difference = np.abs(clip.frames.astype(int) - given.frames[: len(clip.frames)])
    assert difference[:, :40].mean() < 3
    assert difference[:, 40:].max() > 60


def test_a_script_becomes_one_long_video(run, tmp_path):
    (tmp_path / "script.txt").write_text("hello moon\nred star", encoding="utf-8")
    path, sent = run("long_video", PORTRAIT, CAPTION, tmp_path / "script.txt")
    assert r"hello moon\nred star" in sent
    clip = read_clip(path)
    assert clip.seconds > 3
    assert shows(clip.frames[0], PORTRAIT)


def test_an_example_says_why_a_run_failed(server, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    command = [sys.executable, str(EXAMPLES / "joint.py"), "broken.png", CAPTION, WORDS, "--server", server.base_url]
    failed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert failed.returncode == 1
    assert "exception_message" in failed.stderr
    assert "LoadImage" in failed.stderr


def test_an_example_says_what_the_server_refuses(server, tmp_path):
    command = [sys.executable, str(EXAMPLES / "joint.py"), str(PORTRAIT), CAPTION, " ", "--server", server.base_url]
    failed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert failed.returncode == 1
    assert "transcript" in failed.stderr
    assert "Traceback" not in failed.stderr
