"""The demo's options and what they make of the templates, without a server."""

import copy
import io
import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from tests.nodes.video_files import write_file
from tools import demo
from tools.comfy_server import ComfyServer
from tools.console import Console, DevError
from tools.demo import finished_kept
from tools.demo_files import check_files, with_readable_sound
from tools.demo_options import parse
from tools.demo_tasks import prepare, template_of
from tools.environment import Environment
from tools.template_titles import graph_file
from tools.workflow import add_node, bypass_node, read_workflow, replace_node, value_of

ROOT = Path(__file__).parents[2]
CLIP = ROOT / "uniavgen_core" / "assets" / "clips" / "toon_1.mp4"
PICTURE = graph_file("quick_start").with_suffix(".jpg")
FILES = {"--image": PICTURE, "--audio": CLIP, "--video": CLIP}
TASKS = {
    "joint": ["--image"],
    "reference_voice": ["--image", "--audio"],
    "audio_driven": ["--image", "--audio"],
    "dubbing": ["--video"],
    "continuation": ["--image", "--video"],
    "relip": ["--video", "--audio"],
}


def refusal(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        parse(arguments)
    assert stopped.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--video", CLIP],
            "--video does not belong to --task joint; it belongs to --task dubbing or continuation or relip",
        ),
        (["--audio", CLIP], "--audio does not belong to --task joint"),
        (["--keep-seconds", "1"], "--keep-seconds does not belong to --task joint; it belongs to --task continuation"),
        (["--task", "dubbing", "--seconds", "1"], "--seconds does not belong to --task dubbing"),
        (["--task", "dubbing", "--image", PICTURE], "--image does not belong to --task dubbing"),
        (["--task", "audio_driven", "--script", "hello"], "--script does not belong to --task audio_driven"),
        (["--script", "hello", "--speech", "bye"], "the script is what the person says"),
        (["--script", "hello", "--audio", CLIP], "--audio does not belong to --script"),
        (["--task", "reference_voice", "--script", "hello"], "needs --audio"),
        (["--task", "reference_voice", "--audio-transcript", "hello"], "--audio, which is missing"),
        (["--task", "sing"], "invalid choice"),
        (["--task", "dubbing", "--video", "nowhere.mp4"], "no file nowhere.mp4"),
        (["--task", "dubbing", "--video", ROOT], "no file"),
        (["--script", "talks/nowhere.txt"], "no file talks/nowhere.txt"),
        (["--script", CLIP], "UTF-8"),
        (["--model", "nowhere.safetensors"], "no file nowhere.safetensors"),
        (["--model", CLIP], "not named as a model"),
    ],
)
def test_options_that_do_not_go_together_are_refused_before_anything_is_installed(arguments, message, capsys):
    assert message in refusal(list(map(str, arguments)), capsys)


def test_a_script_is_a_text_or_what_a_text_file_holds(tmp_path):
    file = tmp_path / "talk"
    file.write_text("\ufeffhello\nbye", encoding="utf-8")
    assert parse(["--script", str(file)]).script == "hello\nbye"
    assert parse(["--script", "hello/bye. " * 500]).script == "hello/bye. " * 500


def test_a_models_name_is_found_in_the_users_comfyui_and_the_bundled_one_is_none(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path))
    folder = tmp_path / "models" / "diffusion_models"
    folder.mkdir(parents=True)
    (folder / "mine.safetensors").touch()
    assert parse(["--model", "mine.safetensors"]).model == folder / "mine.safetensors"
    assert parse(["--model", "bundled"]).model is None
    assert str(folder) in refusal(["--model", "yours.safetensors"], capsys)


class Offered:
    """Stands for a server: keeps which file went into which folder."""

    def __init__(self):
        self.files = {}

    def __call__(self, path, folder="input"):
        name = f"{len(self.files)}_{path.name}"
        self.files[name] = (path, folder)
        return name


def prepared(*arguments):
    """The template, what options made of it, and what was offered."""
    options = parse(list(map(str, arguments)))
    template = read_workflow(template_of(options))
    offered = Offered()
    before = copy.deepcopy(template)
    workflow = prepare(template, options, offered)
    assert template == before
    for node in workflow.values():
        for value in node["inputs"].values():
            assert not isinstance(value, list) or value[0] in workflow
    return template, workflow, offered.files


def node(workflow, title):
    (found,) = [entry for entry in workflow.values() if entry["_meta"]["title"] == title]
    return found


def source(workflow, title, name):
    """The node linked into an input, and the output of it."""
    number, output = node(workflow, title)["inputs"][name]
    return workflow[number], output


@pytest.mark.parametrize("task", TASKS)
def test_every_task_runs_its_own_template_with_the_examples_unchanged(task):
    template, workflow, files = prepared("--task", task)
    assert (workflow, files) == (template, {})
    assert node(workflow, "Task")["inputs"]["task"] == task


LOADED = {
    "--image": ("image", "LoadImage", "image", PICTURE),
    "--video": ("video", "LoadVideo", "file", CLIP),
}


@pytest.mark.parametrize("task", TASKS)
def test_the_users_files_take_the_place_of_the_examples(task):
    arguments = [word for option in TASKS[task] for word in (option, FILES[option])]
    _, workflow, files = prepared("--task", task, *arguments)
    heard = "voice" if task == "reference_voice" else "audio"
    for option in TASKS[task]:
        name, loader, widget, path = (LOADED | {"--audio": (heard, "LoadAudio", "audio", CLIP)})[option]
        loaded, output = source(workflow, "Task", f"task.{name}")
        assert (loaded["class_type"], output) == (loader, 0)
        assert list(loaded["inputs"]) == [widget]
        assert files[loaded["inputs"][widget]] == (path, "input")
    assert not [entry for entry in workflow.values() if entry["class_type"].startswith("UniAVGenToon")]


def test_numbers_and_texts_go_where_the_task_has_them():
    common = ["--caption", "A", "--speech", "B", "--width", "64", "--height", "96", "--steps", "3", "--seed", "4"]
    for task in ("joint", "reference_voice", "continuation"):
        _, workflow, _ = prepared("--task", task, "--seconds", "1.5", *common)
        assert node(workflow, "Task")["inputs"]["task.seconds"] == 1.5
    inputs = [node(workflow, title)["inputs"] for title in ("Caption", "Speech", "Task", "Sample video and audio")]
    assert (inputs[0]["text"], inputs[1]["transcript"]) == ("A", "B")
    assert (inputs[2]["size"], inputs[2]["size.width"], inputs[2]["size.height"]) == ("custom", 64, 96)
    assert (inputs[3]["steps"], inputs[3]["seed"]) == (3, 4)
    assert inputs[2]["size.fit"] == "crop"
    assert node(workflow, "Negative caption")["inputs"]["text"] == ""
    _, workflow, _ = prepared("--task", "continuation", "--keep-seconds", "0.75")
    assert node(workflow, "Task")["inputs"]["task.keep_seconds"] == 0.75


def test_without_a_width_and_a_height_a_clip_is_as_large_as_its_picture_asks_for():
    for arguments in (["--image", PICTURE], ["--task", "dubbing", "--video", CLIP]):
        assert node(prepared(*arguments)[1], "Task")["inputs"]["size"] == "match_input"
    script = ["--script", "hello"]
    assert node(prepared(*script)[1], "Long video")["inputs"]["size"] == "match_input"
    chosen = node(prepared(*script, "--height", "96", "--width", "64")[1], "Long video")["inputs"]
    assert (chosen["size"], chosen["size.width"], chosen["size.height"]) == ("custom", 64, 96)


def test_one_side_alone_makes_a_square():
    for side in ("--width", "--height"):
        inputs = node(prepared(side, "96")[1], "Task")["inputs"]
        assert (inputs["size"], inputs["size.width"], inputs["size.height"]) == ("custom", 96, 96)


def test_the_examples_words_are_not_put_into_the_users_voice():
    template, workflow, _ = prepared("--task", "reference_voice", "--audio", CLIP)
    assert node(template, "Task")["inputs"]["task.voice_transcript"]
    assert node(workflow, "Task")["inputs"]["task.voice_transcript"] == ""
    assert node(workflow, "Speech")["inputs"] == node(template, "Speech")["inputs"]
    _, workflow, _ = prepared("--task", "reference_voice", "--audio", CLIP, "--audio-transcript", "orange tiger yes")
    assert node(workflow, "Task")["inputs"]["task.voice_transcript"] == "orange tiger yes"


def test_the_examples_words_are_not_put_into_the_users_sound():
    template, workflow, _ = prepared("--task", "audio_driven", "--audio", CLIP)
    assert not [entry for entry in workflow.values() if entry["class_type"] == "UniAVGenSpeechText"]
    assert source(workflow, "Task", "positive") == source(template, "Speech", "conditioning")


@pytest.mark.parametrize(
    ("words", "told"),
    [([], True), (["--audio-transcript", "red moon"], False), (["--speech", "red moon"], False)],
    ids=["no words", "audio text", "speech"],
)
def test_a_sound_without_its_words_is_told_before_anything_runs(idle_server, monkeypatch, words, told):
    def stop(*_):
        raise DevError

    monkeypatch.setattr(demo, "render", stop)
    options, shown = parse(["--task", "audio_driven", "--audio", str(CLIP), *words]), io.StringIO()
    with pytest.raises(DevError):
        demo.make(idle_server, read_workflow(template_of(options)), options, Console(shown))
    assert ("mouth opens less" in shown.getvalue()) == told
    assert ("--audio-transcript" in shown.getvalue()) == told


def test_what_the_sampler_tells_while_it_runs_is_shown():
    shown = io.StringIO()
    demo.Progress({}, Console(shown))("uniavgen.notice", {"notice": "This model knows 24 words."})
    assert shown.getvalue() == "Note: This model knows 24 words.\n"


def test_a_driving_sounds_words_are_the_clips_unless_others_follow_it():
    sound = ["--task", "audio_driven", "--audio", CLIP, "--audio-transcript", "orange tiger yes"]
    _, workflow, _ = prepared(*sound)
    assert node(workflow, "Speech")["inputs"]["transcript"] == "orange tiger yes"
    _, workflow, _ = prepared(*sound, "--speech", "red moon", "--seconds", "3")
    assert node(workflow, "Speech")["inputs"]["transcript"] == "red moon"
    assert node(workflow, "Task")["inputs"]["task.audio_transcript"] == "orange tiger yes"


def test_a_driven_clip_is_as_long_as_the_sound_unless_seconds_are_set():
    _, workflow, _ = prepared("--task", "audio_driven", "--audio", CLIP)
    assert node(workflow, "Task")["inputs"]["task.length"] == "match_audio"
    _, workflow, _ = prepared("--task", "audio_driven", "--audio", CLIP, "--seconds", "3")
    inputs = node(workflow, "Task")["inputs"]
    assert (inputs["task.length"], inputs["task.seconds"]) == ("set_seconds", 3)


def test_new_lips_say_the_sound_that_is_given_and_else_the_transcript_in_the_videos_own_voice():
    _, workflow, files = prepared("--task", "relip", "--video", CLIP, "--speech", "red moon")
    assert node(workflow, "Speech")["inputs"]["transcript"] == "red moon"
    assert not {"task.audio", "task.voice"} & set(node(workflow, "Task")["inputs"])
    assert len(files) == 1
    sound = ["--audio", CLIP, "--audio-transcript", "orange tiger yes"]
    _, workflow, _ = prepared("--task", "relip", "--video", CLIP, *sound)
    assert node(workflow, "Task")["inputs"]["task.audio_transcript"] == "orange tiger yes"
    assert source(workflow, "Task", "task.audio")[0]["class_type"] == "LoadAudio"


def test_a_sound_longer_than_a_clip_of_the_training_is_followed_in_segments(tmp_path):
    long, short = tmp_path / "long.wav", tmp_path / "short.wav"
    for path, seconds in ((long, 3), (short, 1)):
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(8000)
            file.writeframes(bytes(2 * 8000 * seconds))
    arguments = ["--task", "audio_driven", "--audio-transcript", "red moon"]
    assert demo.needs_segments(parse([*arguments, "--audio", str(long)]))
    assert not demo.needs_segments(parse([*arguments, "--audio", str(short)]))
    assert not demo.needs_segments(parse([*arguments, "--audio", str(long), "--seconds", "2"]))
    options = parse([*arguments, "--audio", str(long), "--image", str(PICTURE)])
    options.in_segments = True
    workflow = prepare(read_workflow(template_of(options)), options, Offered())
    inputs = node(workflow, "Long video")["inputs"]
    assert inputs["script"] == "red moon"
    assert source(workflow, "Long video", "audio")[0]["class_type"] == "LoadAudio"
    assert source(workflow, "Long video", "image")[0]["class_type"] == "LoadImage"
    assert source(workflow, "Save", "video") == (node(workflow, "Long video"), 0)


def test_a_video_longer_than_a_clip_of_the_training_is_dubbed_in_segments(tmp_path):
    frames = torch.zeros(48, 16, 16, 3)
    long, short = (write_file(tmp_path / f"{count}.mp4", frames[:count], Fraction(16)) for count in (48, 16))
    assert demo.needs_segments(parse(["--task", "dubbing", "--video", str(long)]))
    assert not demo.needs_segments(parse(["--task", "dubbing", "--video", str(short)]))
    options = parse(["--task", "dubbing", "--video", str(long), "--speech", "red moon"])
    options.in_segments = True
    workflow = prepare(read_workflow(template_of(options)), options, Offered())
    assert node(workflow, "Long video")["inputs"]["script"] == "red moon"
    assert source(workflow, "Long video", "video")[0]["class_type"] == "LoadVideo"
    assert "image" not in node(workflow, "Long video")["inputs"]


@pytest.mark.parametrize("task", ["dubbing", "continuation", "relip"])
def test_a_users_video_keeps_the_examples_transcript(task):
    template, workflow, _ = prepared("--task", task, "--video", CLIP)
    assert node(workflow, "Speech") == node(template, "Speech")


def test_a_script_goes_into_the_long_video_with_its_picture_and_lengths():
    _, workflow, files = prepared("--script", "a\nb", "--image", PICTURE, "--seconds", "2", "--keep-seconds", "0.5")
    inputs = node(workflow, "Long video")["inputs"]
    assert (inputs["script"], inputs["segment_seconds"], inputs["keep_seconds"]) == ("a\nb", 2, 0.5)
    loaded, output = source(workflow, "Long video", "image")
    assert (loaded["class_type"], output, len(files)) == ("LoadImage", 0, 1)
    assert "voice" not in inputs


def test_a_script_is_said_in_the_users_voice():
    arguments = ["--task", "reference_voice", "--script", "hello", "--steps", "2", "--audio", CLIP]
    _, workflow, files = prepared(*arguments)
    loaded, output = source(workflow, "Long video", "voice")
    assert (loaded["class_type"], output) == ("LoadAudio", 0)
    assert files[loaded["inputs"]["audio"]] == (CLIP, "input")
    assert node(workflow, "Long video")["inputs"]["voice_transcript"] == ""
    assert node(workflow, "Long video")["inputs"]["steps"] == 2


def test_model_files_go_to_their_loaders(tmp_path):
    paths = {name: tmp_path / f"{name}.safetensors" for name in ("model", "text-encoder", "video-vae")}
    for path in paths.values():
        path.touch()
    _, workflow, files = prepared(*(word for name, path in paths.items() for word in (f"--{name}", path)))
    chosen = [
        files[node(workflow, f"Load the {part}")["inputs"][widget]]
        for part, widget in (
            ("model", "model_name"),
            ("text encoder", "text_encoder"),
            ("video VAE", "video_vae"),
        )
    ]
    assert chosen == list(zip(paths.values(), ("diffusion_models", "text_encoders", "vae"), strict=True))


@pytest.mark.parametrize("script", [[], ["--script", "hello"]], ids=["clip", "script"])
def test_the_model_decides_how_it_is_sampled_and_steps_that_are_given_come_with_its_guidance(script, tmp_path):
    path = tmp_path / "model.safetensors"
    path.touch()
    widgets = ("preset", "steps", "video_guidance", "audio_guidance")

    def sampled(*arguments):
        template, workflow, _ = prepared(*script, *arguments)
        return [tuple(value_of(nodes, name) for name in widgets) for nodes in (template, workflow)]

    template, workflow = sampled("--seed", "4")
    assert workflow == template
    assert template[0] == "auto"
    assert sampled("--model", path)[1] == template
    assert sampled("--model", path, "--steps", "9")[1] == ("custom", 9, 3.0, 2.0)
    assert sampled("--steps", "9")[1] == ("custom", 9, 1.0, 1.0)


def test_a_node_is_not_replaced_where_two_of_its_outputs_are_used():
    link = {"a": ["1", 1], "b": ["1", 2]}
    workflow = {
        "1": {"class_type": "Clip", "inputs": {}, "_meta": {"title": "Video"}},
        "2": {"class_type": "Reader", "inputs": dict(link), "_meta": {"title": "Reader"}},
    }
    with pytest.raises(DevError, match="Output 2 of the node Video goes into Reader"):
        replace_node(workflow, "Video", "LoadAudio", {}, output=1)
    assert workflow["2"]["inputs"] == link


def test_an_added_node_has_a_number_of_its_own_and_a_bypassed_one_leaves_no_link():
    workflow = {
        "9": {"class_type": "Text", "inputs": {}, "_meta": {"title": "Caption"}},
        "10": {"class_type": "Speech", "inputs": {"from": ["9", 1]}, "_meta": {"title": "Speech"}},
        "2": {"class_type": "Task", "inputs": {"positive": ["10", 0]}, "_meta": {"title": "Task"}},
    }
    added = add_node(workflow, "Image", "LoadImage", {"image": "a.png"}, ("Task", "task.image"))
    assert added["2"]["inputs"]["task.image"] == ["11", 0]
    assert added["11"]["class_type"] == "LoadImage"
    assert bypass_node(workflow, "Speech", "from") == {
        "9": workflow["9"],
        "2": {**workflow["2"], "inputs": {"positive": ["9", 1]}},
    }


@pytest.fixture
def idle_server(tmp_path):
    """A server that never starts."""
    server = ComfyServer(Environment(Path("python"), Path("comfyui")))
    server.folder = tmp_path / "base"
    return server


def test_what_a_failed_script_finished_is_kept_even_where_the_server_has_gone(idle_server, tmp_path):
    left = idle_server.folder / "output" / "uniavgen" / "long_1" / "finished_so_far.mp4"
    left.parent.mkdir(parents=True)
    (tmp_path / "uniavgen_unfinished.mp4").touch()

    def fail():
        left.write_bytes(b"segments")
        raise DevError

    with pytest.raises(DevError), finished_kept(idle_server, tmp_path, Console(io.StringIO())):
        fail()
    assert (tmp_path / "uniavgen_unfinished_2.mp4").read_bytes() == b"segments"


def test_files_of_the_same_name_do_not_clash_and_odd_names_are_made_safe(idle_server, tmp_path):
    paths = [tmp_path / "a" / "[x] é.wav", tmp_path / "b" / "[x] é.wav"]
    for number, path in enumerate(paths):
        path.parent.mkdir()
        path.write_bytes(bytes([number]))
    names = [idle_server.offer(path) for path in paths]
    assert [(idle_server.folder / "input" / name).read_bytes() for name in names] == [b"\0", b"\1"]
    assert all(name.isascii() and name.endswith(".wav") and not set(name) & set("[] ") for name in names)


def test_what_is_done_to_an_offered_input_does_not_reach_the_users_file(idle_server, tmp_path):
    mine = tmp_path / "a.png"
    mine.write_bytes(b"mine")
    copied = idle_server.folder / "input" / idle_server.offer(mine)
    copied.write_bytes(b"other")
    assert mine.read_bytes() == b"mine"


def test_a_model_is_linked_not_copied(idle_server, tmp_path):
    mine = tmp_path / "a.safetensors"
    mine.write_bytes(b"mine")
    linked = idle_server.folder / "models" / "vae" / idle_server.offer(mine, "vae")
    assert linked.samefile(mine)
    assert linked.suffix == ".safetensors"


@pytest.mark.parametrize(
    ("option", "task", "message"),
    [("--image", "joint", "no picture"), ("--audio", "audio_driven", "no sound"), ("--video", "dubbing", "no video")],
)
def test_a_file_without_what_it_is_asked_for_is_named(option, task, message, tmp_path):
    file = tmp_path / "holiday.mp4"
    file.write_bytes(b"nothing")
    with pytest.raises(DevError, match=f"holiday.mp4 (is|has) {message}"):
        check_files(parse(["--task", task, option, str(file)]))


def test_a_video_without_a_sound_is_no_sound_and_pictures_and_clips_pass(tmp_path):
    silent = tmp_path / "silent.mp4"
    with av.open(str(silent), "w") as container:
        stream = container.add_stream("mpeg4", rate=Fraction(16))
        stream.width = stream.height = 32
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")))
        container.mux(stream.encode(None))
    check_files(parse(["--task", "dubbing", "--video", str(silent)]))
    with pytest.raises(DevError, match="no sound"):
        check_files(parse(["--task", "audio_driven", "--audio", str(silent)]))
    moving = tmp_path / "moving.webp"
    pictures = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
    pictures[0].save(moving, save_all=True, append_images=pictures[1:])
    with pytest.raises(DevError, match="no video"):
        check_files(parse(["--task", "dubbing", "--video", str(moving)]))
    write_wav(tmp_path / "sound.wav", np.zeros((800, 1), np.int16), 8000, 2)
    for path in (__file__, tmp_path / "sound.wav"):
        with pytest.raises(DevError, match="no picture"):
            check_files(parse(["--image", str(path)]))
    for path in (moving, PICTURE):
        check_files(parse(["--task", "audio_driven", "--image", str(path), "--audio", str(CLIP)]))


def write_wav(path, samples, rate, width):
    """A WAV of integer samples (N, C)."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())


def test_eight_bit_sound_is_given_as_sixteen_bit_and_other_sound_as_it_is(tmp_path):
    eight = np.random.default_rng(0).integers(0, 256, (8000, 2), np.uint8)
    write_wav(tmp_path / "old.wav", eight, 8000, 1)
    options = parse(["--task", "audio_driven", "--audio", str(tmp_path / "old.wav")])
    (tmp_path / "base").mkdir()
    with wave.open(str(with_readable_sound(options, tmp_path / "base").audio)) as copy:
        assert (copy.getframerate(), copy.getnchannels(), copy.getsampwidth()) == (8000, 2, 2)
        samples = np.frombuffer(copy.readframes(9000), np.int16).reshape(-1, 2)
    assert np.array_equal(samples, (eight.astype(np.int16) - 128) * 256)
    options = parse(["--task", "audio_driven", "--audio", str(CLIP)])
    assert with_readable_sound(options, tmp_path / "base") is options
