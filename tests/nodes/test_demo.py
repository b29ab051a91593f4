"""The demo and its server, for real: a ComfyUI process, a workflow over HTTP, a video file."""

import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from tools.comfy_client import PromptFailedError, PromptRejectedError
from tools.comfy_server import ComfyServer
from tools.console import Console, DevError
from tools.contact_sheet import read_clip, write_contact_sheet
from tools.demo import render
from tools.environment import Environment, current

ROOT = Path(__file__).parents[2]


@pytest.fixture
def stock_workflow():
    """Seventeen grey pictures and a second of silence, by ComfyUI's own nodes."""
    nodes = {
        "1": ("EmptyImage", {"width": 64, "height": 96, "batch_size": 17, "color": 0x808080}),
        "2": ("EmptyAudio", {"duration": 1.0625, "sample_rate": 24000, "channels": 1}),
        "3": ("CreateVideo", {"images": ["1", 0], "fps": 16.0, "audio": ["2", 0]}),
        "4": ("SaveVideo", {"video": ["3", 0], "filename_prefix": "clip", "format": "mp4", "codec": "h264"}),
    }
    return {node: {"class_type": kind, "inputs": inputs} for node, (kind, inputs) in nodes.items()}


def test_a_video_comes_back_as_a_player_wants_it(server, stock_workflow, tmp_path):
    video = render(server, stock_workflow, tmp_path, Console())
    clip = read_clip(video)
    assert clip.codecs == ("h264", "aac")
    assert (clip.fps, clip.sample_rate) == (16, 24000)
    assert clip.frames.shape == (17, 96, 64, 3)
    assert abs(len(clip.sound) / 24000 - clip.seconds) < 0.1


def test_the_contact_sheet_shows_the_frames(server, stock_workflow, tmp_path):
    stock_workflow["1"]["inputs"]["color"] = 0xFF0000
    clip = read_clip(render(server, stock_workflow, tmp_path, Console()))
    write_contact_sheet(clip, tmp_path / "sheet.png")
    sheet = np.asarray(Image.open(tmp_path / "sheet.png")).astype(int)
    red, green, _ = sheet[:100].reshape(-1, 3).mean(axis=0)
    assert red > 200
    assert green < 60


def test_the_server_keeps_serving_after_a_workflow_it_refused(server, stock_workflow):
    broken = json.loads(json.dumps(stock_workflow))
    broken["1"]["inputs"]["width"] = -5
    with pytest.raises(PromptRejectedError, match="EmptyImage"):
        server.run(broken)
    assert server.run(stock_workflow).files()


def test_a_failing_node_is_named_with_its_own_words(server, stock_workflow):
    stock_workflow["5"] = {"class_type": "LoadImage", "inputs": {"image": "a.png"}}
    (server.folder / "input" / "a.png").write_bytes(b"not a picture")
    stock_workflow["3"]["inputs"]["images"] = ["5", 0]
    with pytest.raises(PromptFailedError, match="LoadImage"):
        server.run(stock_workflow)


def test_a_server_that_does_not_start_says_why_and_leaves_nothing(tmp_path):
    comfyui = tmp_path / "comfyui"
    comfyui.mkdir()
    (comfyui / "main.py").write_text("raise SystemExit('no such thing as a GPU')")
    server = ComfyServer(Environment(current().python, comfyui))
    with pytest.raises(DevError, match="no such thing as a GPU"):
        server.__enter__()
    assert not server.folder.exists()


def start_demo(folder, *options):
    command = [sys.executable, str(ROOT / "dev.py"), "demo", "--json", "--output", str(folder), *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_the_demo_makes_a_video_and_prints_its_paths_last(tmp_path):
    demo = start_demo(tmp_path, "--seed", "7", "--steps", "4")
    out, err = demo.communicate(timeout=300)
    assert demo.returncode == 0, err
    lines = out.strip().splitlines()
    answer = json.loads(lines[-1])
    assert lines[-3].endswith(answer["video"])
    assert lines[-2].endswith(answer["contact_sheet"])
    assert (answer["task"], answer["seed"]) == ("joint", 7)
    assert {"setup", "start_server", "generate"} <= set(answer["seconds"])
    clip = read_clip(Path(answer["video"]))
    assert (clip.codecs, clip.fps, clip.sample_rate) == (("h264", "aac"), 16, 24000)
    assert answer["clip"]["frames"] == len(clip.frames) == 33
    assert np.ptp(clip.frames) > 60
    assert np.abs(clip.sound).max() > 0.01
    assert Image.open(answer["contact_sheet"]).size[0] > 500


def answers(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def is_running(port):
    """True if a server for a port is there, whether it answers yet or not."""
    lines = [process.info["cmdline"] or () for process in psutil.process_iter(["cmdline"])]
    return any(str(port) in line for line in lines)


@pytest.mark.parametrize(("number", "status", "condition"), [
    (signal.SIGINT, 130, answers), (signal.SIGTERM, 143, is_running),
])  # fmt: skip
def test_a_stopped_demo_leaves_no_server(tmp_path, number, status, condition):
    demo = start_demo(tmp_path)
    port = next(int(line.rsplit(" ", 2)[1]) for line in demo.stderr if line.startswith("Starting ComfyUI on port"))
    wait_until(lambda: condition(port))
    demo.send_signal(number)
    assert demo.wait(30) == status
    assert not is_running(port)
    assert list(tmp_path.iterdir()) == []


def wait_until(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
