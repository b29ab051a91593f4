"""Every task of the demo for real: the user's files in, an mp4 out, on one shared ComfyUI."""

import hashlib
import json
import subprocess
import sys
import wave
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from tests.nodes.video_files import packets_of, sound_of
from tools import demo_tasks
from tools.comfy_client import PromptFailedError
from tools.console import Console
from tools.contact_sheet import read_clip
from tools.demo import make
from tools.demo_options import parse
from tools.demo_tasks import template_of
from tools.workflow import read_workflow
from uniavgen_core.diffusion.sampling_presets import TOON

ROOT = Path(__file__).parents[2]
ASSETS = ROOT / "uniavgen_core" / "assets"
CLIPS = ASSETS / "clips"
SMALL = ["--width", "64", "--height", "64", "--steps", "2"]


@pytest.fixture
def demo(server, tmp_path):
    """Run the demo on the shared server; gives what it says it made, and the decoded video."""

    def run(*arguments):
        options = parse([*map(str, arguments), "--output", str(tmp_path)])
        made = make(server, read_workflow(template_of(options)), options, Console())
        return made, read_clip(Path(made["video"]))

    return run


@pytest.fixture(scope="module")
def speech(tmp_path_factory):
    """Stereo WAV at 44.1 kHz, 1.5 s of a toon's speech, the right channel quieter."""
    with av.open(str(CLIPS / "toon_1.mp4")) as container:
        to_mono = av.AudioResampler(format="flt", layout="mono", rate=44100)
        parts = [part.to_ndarray()[0] for frame in container.decode(audio=0) for part in to_mono.resample(frame)]
    mono = np.concatenate(parts)[:66150] * 0.7
    path = tmp_path_factory.mktemp("sound") / "my voice.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(44100)
        file.writeframes((np.stack([mono, mono / 2], 1) * 32767).astype(np.int16).tobytes())
    return path


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    """A photograph that stands upright only for who heeds its orientation tag."""
    from skimage.data import astronaut

    path = tmp_path_factory.mktemp("photo") / "Ähm [1].JPG"
    picture = Image.fromarray(astronaut()[:400, 50:400])
    exif = picture.getexif()
    exif[0x112] = 6  # lies on its left side
    picture.transpose(Image.Transpose.ROTATE_90).save(path, exif=exif, quality=95)
    return path


def likeness(one, other):
    """Correlation of two pictures, in grey."""
    return np.corrcoef(one.astype(float).mean(-1).ravel(), other.astype(float).mean(-1).ravel())[0, 1]


def first_channel(path):
    """First channel of a 16-bit WAV."""
    with wave.open(str(path)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), np.int16).reshape(-1, file.getnchannels())
    return samples[:, 0] / 32768


def test_a_clip_begins_with_the_users_photo_upright_and_cropped_to_the_middle(demo, photo):
    made, clip = demo("--image", photo, "--speech", "red", "--seconds", "0.5625", *SMALL)
    from skimage.data import astronaut

    middle = Image.fromarray(astronaut()[25:375, 50:400]).resize((64, 64), Image.Resampling.LANCZOS)
    assert likeness(clip.frames[0], np.asarray(middle)) > 0.87  # stretched 0.82, cropped elsewhere 0.62
    assert made["clip"] == {
        "duration": 0.5625, "fps": 16, "frames": 9, "width": 64, "height": 64, "sample_rate": 24000,
    }  # fmt: skip


def test_a_driven_clip_plays_the_users_sound_as_it_is(demo, speech):
    made, clip = demo("--task", "audio_driven", "--audio", speech, *SMALL)
    _, rate, heard = sound_of(made["video"])
    assert rate == 44100
    assert np.array_equal(heard[0], first_channel(speech))
    assert abs(clip.seconds - 1.5) < 1 / 16 + 1e-6
    assert made["task"] == "audio_driven"


def test_a_driven_clip_is_as_long_as_the_seconds_say(demo, speech):
    made, clip = demo("--task", "audio_driven", "--audio", speech, "--seconds", "0.8125", *SMALL)
    _, rate, heard = sound_of(made["video"])
    assert len(clip.frames) == 13
    assert np.array_equal(heard[0], first_channel(speech)[: heard.shape[1]])
    assert heard.shape[1] == pytest.approx(0.8125 * rate, abs=rate / 16)


def convert(source, target, codec):
    """Write a file's sound with another codec, in the container that the name says."""
    with av.open(str(source)) as given, av.open(str(target), "w") as container:
        stream = container.add_stream(codec, rate=48000)
        to_codec = av.AudioResampler(format=stream.codec_context.format, layout="stereo", rate=48000)
        for frame in given.decode(audio=0):
            for part in to_codec.resample(frame):
                container.mux(stream.encode(part))
        container.mux(stream.encode(None))


@pytest.mark.parametrize(("kind", "codec"), [("mp3", "libmp3lame"), ("ogg", "libopus"), ("m4a", "aac")])
def test_sound_of_other_kinds_drives_a_clip(demo, speech, tmp_path, kind, codec):
    convert(speech, tmp_path / f"voice.{kind}", codec)
    _, clip = demo("--task", "audio_driven", "--audio", tmp_path / f"voice.{kind}", *SMALL)
    assert clip.sample_rate == 48000
    assert clip.seconds == pytest.approx(1.5, abs=0.13)


def test_a_gif_of_odd_size_is_dubbed_at_its_own_pace_and_loses_only_its_last_row_and_column(demo, tmp_path):
    ramp = np.linspace(0, 255, 101 * 75).reshape(75, 101)
    frames = [Image.fromarray(np.roll(ramp, 9 * number, 1).astype(np.uint8)) for number in range(15)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:], duration=100, loop=0)
    made, clip = demo("--task", "dubbing", "--video", tmp_path / "moving.gif", "--speech", "red moon", *SMALL)
    assert (made["clip"]["fps"], made["clip"]["frames"]) == (10, 15)
    wanted = np.stack([np.asarray(frame) for frame in frames])[:, :74, :100]
    assert clip.frames.shape[:3] == wanted.shape
    assert np.abs(clip.frames.mean(-1) - wanted).mean() < 6
    assert np.abs(clip.sound).max() > 0.01


def test_a_dubbed_video_keeps_its_frames_and_gets_another_sound(demo):
    video = CLIPS / "toon_1.mp4"
    made, clip = demo("--task", "dubbing", "--video", video, "--speech", "yes moon", "--seed", "5", *SMALL)
    given = read_clip(video)
    assert made["seed"] == 5
    assert (clip.fps, clip.frames.shape) == (given.fps, given.frames.shape)
    assert packets_of(made["video"]) == packets_of(video)
    both = min(len(clip.sound), len(given.sound))
    assert np.abs(clip.sound).max() > 0.01
    assert abs(np.corrcoef(clip.sound[:both], given.sound[:both])[0, 1]) < 0.5


def test_a_continued_clip_begins_with_the_users_clip_and_goes_on(demo):
    video = CLIPS / "toon_2.mp4"
    _, clip = demo("--task", "continuation", "--video", video, "--keep-seconds", "0.5625", "--seconds", "0.75", *SMALL)
    given = read_clip(video)
    assert np.abs(clip.frames[: len(given.frames)].astype(int) - given.frames).mean() < 4
    assert clip.seconds - given.seconds == pytest.approx(0.75, abs=0.26)
    first_second = slice(4000, 20000)
    assert np.corrcoef(clip.sound[first_second], given.sound[first_second])[0, 1] > 0.9


def test_a_script_in_the_users_voice_is_longer_than_a_segment(demo, speech):
    segment = ["--seconds", "1.0625", "--keep-seconds", "0.3125"]
    _, clip = demo("--task", "reference_voice", "--script", "red\nmoon", "--audio", speech, *segment, *SMALL)
    assert 1.6 < clip.seconds < 2.1


def test_a_model_file_of_the_users_is_the_model_that_runs(demo, tmp_path, monkeypatch):
    from safetensors import safe_open
    from safetensors.torch import save_file

    with safe_open(str(ASSETS / "uniavgen_toon.safetensors"), "pt") as file:
        tensors, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    short = ["--speech", "red", "--seconds", "0.5625", *SMALL]
    monkeypatch.setattr(demo_tasks, "PRESETS", {"release": TOON})
    _, bundled = demo(*short)
    save_file(tensors, tmp_path / "same.safetensors", metadata)
    _, same = demo("--model", tmp_path / "same.safetensors", *short)
    difference = np.abs(same.frames.astype(int) - bundled.frames).mean()  # H.264 in threads repeats itself only nearly
    save_file({name: tensor * 0.5 for name, tensor in tensors.items()}, tmp_path / "half.safetensors", metadata)
    _, half = demo("--model", tmp_path / "half.safetensors", *short)
    assert np.array_equal(same.sound, bundled.sound)
    assert difference < 0.5 < 10 < np.abs(half.frames.astype(int) - bundled.frames).mean()


class Impatient(Console):
    """Someone who presses Ctrl-C when the second segment of two steps begins."""

    def bar(self, fraction, text):
        if text == "Long video 3/6":
            raise KeyboardInterrupt
        super().bar(fraction, text)


def test_a_stopped_script_keeps_the_segments_that_were_finished(server, tmp_path):
    lengths = ["--seconds", "1.0625", "--keep-seconds", "0.3125", "--seed", "9"]
    options = parse(["--script", "red\nmoon\nsun", "--output", str(tmp_path), *lengths, *SMALL])
    with pytest.raises(KeyboardInterrupt):
        make(server, read_workflow(template_of(options)), options, Impatient())
    (kept,) = tmp_path.iterdir()
    assert kept.name == "uniavgen_unfinished.mp4"
    assert len(read_clip(kept).frames) in (17, 29)  # on a busy machine, the second ends before the server hears of it
    assert server.get("/queue")["queue_running"] == []


def test_a_voice_that_cannot_be_used_is_refused_in_the_nodes_words_and_stays_as_it_was(demo, tmp_path):
    path = tmp_path / "nothing.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(2 * 16000))
    before = hashlib.sha256(path.read_bytes()).digest()
    with pytest.raises(PromptFailedError, match=r"UniAVGenTask failed: .*silent"):
        demo("--task", "reference_voice", "--audio", path, "--speech", "red moon", *SMALL)
    assert hashlib.sha256(path.read_bytes()).digest() == before
    assert sorted(file.name for file in tmp_path.iterdir()) == ["nothing.wav"]


def test_a_users_voice_is_heard_through_the_voice_task(demo, speech):
    """Another voice, with the same seed and words, gives another sound."""
    arguments = ["--task", "reference_voice", "--seconds", "0.8125", "--speech", "red moon", *SMALL]
    _, example = demo(*arguments)
    _, own = demo(*arguments, "--audio", speech, "--audio-transcript", "orange tiger yes")
    assert not np.array_equal(own.sound, example.sound)
    assert np.abs(own.sound).max() > 0.01


def test_a_file_that_is_no_video_ends_the_command_before_a_server_starts(tmp_path):
    bad = tmp_path / "holiday.mp4"
    bad.write_bytes(b"nothing")
    command = [sys.executable, str(ROOT / "dev.py"), "demo", "--task", "dubbing", "--video", str(bad), "--json"]
    done = subprocess.run(
        [*command, "--output", str(tmp_path / "out")], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 1
    assert "holiday.mp4 is no video" in json.loads(done.stdout.splitlines()[-1])["error"]
    assert "Starting ComfyUI" not in done.stderr
    assert sorted(file.name for file in tmp_path.iterdir()) == ["holiday.mp4"]
